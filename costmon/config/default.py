"""The file written on the first run: every key with its default, every example one `#` away from working."""

from __future__ import annotations

DEFAULT = """\
# costmon's settings. Saving this file is enough: a running costmon reads it again at once; while something is
# wrong with it, it says what and keeps the last good version. Lines that begin with "#" and no space are
# examples: remove that "#" to use them.

# The zone in which your days begin: "local" (this machine's), or a name such as "Asia/Seoul".
time_zone = "local"

[currency]
# What sums are shown in. Another currency than USD needs a rate: fetched, or written below.
display = "USD"

# "ecb" fetches the European Central Bank's reference rates once a day, from www.ecb.europa.eu, for pairs that have no
# rate below. Without this line nothing is fetched.
#fetch = "ecb"

# Exchange rates, as many as you like. The newest one that is not after a call's day counts; the oldest one
# also covers the days before it. `rate` is what one unit of `base` costs in `quote`. The source is for you.
#[[currency.rate]]
#base = "USD"
#quote = "KRW"
#rate = 1385.2
#date = 2026-11-20
#source = "the central bank"

# Budgets. The same from the shell: costmon budget set total 10USD --period month
#[budget.total]
# With its currency: "10 USD", "0.10USD", "$10", "₩15000", "15,000 KRW".
#amount = "10 USD"
# "day", "week" (from Monday) or "month".
#period = "month"
# Where its periods begin and end; without this line the zone at the top.
#time_zone = "Asia/Seoul"
# "all", or one of "provider=openai", "model=gpt-4o", "app=trader", "route=/chat", "job=trade".
#scope = "all"
# Percentages at which you are told, once each in a period.
#levels = [70, 80, 90, 95, 100]
# At 95 %: "block-nonessential" refuses apps that have not declared themselves essential; "warn" just tells.
#at_95 = "block-nonessential"
# At 100 %: "block" refuses every call in the scope; "warn" just tells.
#at_100 = "block"
# "default" also lets one call at a time through that may cost more than what is left; "strict" does not.
#mode = "default"
# true counts what providers have billed beyond what your apps logged, for scope "all" or "provider=…"; needs a source below.
#count_unlogged = false

# Rate limits, as many as you like: at most so many calls in each minute or hour of the clock (UTC), or in each of
# your days. Every attempt counts, an SDK's retries too.
#[rate_limit.openai]
#calls = 60
# "minute", "hour" or "day".
#per = "minute"
# "all", or one of "provider=openai", "model=gpt-4o", "app=trader", "route=/chat", "job=trade".
#scope = "provider=openai"

# A provider that has failed so often within that time is left alone for the pause; then one call tries it. The rules
# below are off until their line in brackets is there. Times are such as "90s", "10m", "1h30m", from 1 s to 7 d.
#[breaker]
#failures = 5
#within = "1m"
#pause = "30s"

# Refuse a request that was made so often within that time, word for word.
#[repeat]
#calls = 20
#within = "10m"

# Refuse a request that has failed so often within that time.
#[retry_loop]
#failures = 5
#within = "5m"

# What costs without a call: servers, storage, traffic, subscriptions. Budgets count it too. Without `since` it counts from
# when costmon first sees it: a subscription wants since = 2026-11-01 to count its first month whole.
#[resource.gpu-box]
# "time" (a server), "storage", "transfer" (traffic) or "flat" (a subscription).
#kind = "time"
# Its price and what that is per: "hour", "day" or "month" · storage: "GB-month", "GiB-month" · transfer: "GB",
# "GiB" · flat: "month", "year", "day". Or price_of = "NAME" of a resource in a price file.
#price = "2450 KRW"
#per = "hour"
# time: always_on from `since` (or from now) on, measure = "uptime" or "gpu" of this machine, or neither: then
# costmon meter start gpu-box and costmon meter stop gpu-box tell when it runs. increment_s is the smallest step billed.
#always_on = true
#since = 2026-11-01
#increment_s = 3600
# Who is paid, and the app whose cost it is; budgets may have them as their scope.
#provider = "own"
#app = "resources"

#[resource.backups]
#kind = "storage"
#price = "0.023 USD"
#per = "GB-month"
# What a month is: "730h", or "calendar" for its real length.
#month = "730h"
# So much is stored: gb (or gib), or measure = "disk:/" (used bytes of a file system), or "folder:/srv/backups".
#gb = 50

#[resource.egress]
#kind = "transfer"
#price = "0.09 USD"
#per = "GB"
# So many of them are free in each month; above a tier's threshold its own price holds.
#free = 100
#tiers = [{ above = 10240, price = "0.085 USD" }]
# All interfaces of this machine, or one: "network:eth0". count = "sent", "received" or "both".
#measure = "network"

# Sources of provider figures: what the provider itself says you spend, beside what your apps logged. Nothing is asked that
# does not stand here; costmon keys set openai stores a key and adds these lines.
#[source.openai]
# The kind of source, where it is not the name above: costmon poll --kinds lists them, with the key and options of each.
#kind = "openai"
# Where its key is, never the key itself: "keyring", "env:OPENAI_ADMIN_KEY" or "file:/path/of/a/0600/file". Without this
# line: the keyring, then the usual environment variable, then the file costmon keys set --where file has made.
#key = "keyring"
# How often it is asked; without this line the kind's own rhythm.
#every = "10m"
# Another region's or a gateway's address, whose calls in the ledger its figures are compared with, and how much of its
# figures is tax.
#base_url = "https://api.openai.com/v1"
#provider = "openai"
#tax_included = "10%"
# false keeps the lines and asks no more.
#enabled = true

# Invoices dropped in a folder, CSV or JSON, for a provider without an endpoint or an account without an admin key.
#[source.google-bill]
#kind = "file"
#provider = "google"
#folder = "~/invoices/google"

# You are told once a day and provider when so much was spent there that no app logged; false never does.
#[unlogged]
#alert = "0.50 USD"

# Jobs and their plans. Without a table here a job is held to the longest plan any process announces for it. NAME is what
# costmon.job("trade") or your scheduler calls it, in whatever app; "APP/NAME" is the job of one app alone.
#[jobs.trade]
# How often it is to run: a time from "1s" to "7d".
#every = "60m"
# Runs nobody planned and runs that did not come are told; false shows them only.
#alert = true
#[jobs.report]
# Or five fields as in a crontab, and the zone they are meant in; without it the zone at the top.
#cron = "0 9 * * 1-5"
#zone = "Asia/Seoul"

[schedules]
# A job that nobody has a plan for is not expected to run more often than this.
floor = "60m"
# The crontabs and systemd timers of this machine: of jobs named above, of apps that make calls, and of costmon run.
crontab = true
systemd = true
# SQLite files of APScheduler's job stores, and compose files, as whole paths.
#apscheduler = ["/srv/trader/jobs.sqlite"]
#compose = ["/srv/trader/docker-compose.yml"]

# A log that tells of a job's runs: English and Korean phrases of schedulers are known, and your own regular expressions
# come first: start, next, run, success, failure, done, restart.
#[log.trader]
#path = "/srv/trader/scheduler.log"
#app = "trader"
#job = "trade"
# The zone of its times; without this line it is inferred, and said.
#zone = "Asia/Seoul"
#next = "next run at (?P<time>.+)"

[hosts]
# Whose API a host of your own speaks, with its port if it has one; `free` says that calls to it cost nothing.
#"llm.corp.example" = "openai"
#"127.0.0.1:11434" = { provider = "ollama", free = true }

[limits]
# Output tokens a call is expected to use when neither the call nor its history says.
assumed_output = 1000
# A model without a known price counts against budgets like the provider's dearest ("dearest"), is refused
# ("refuse"), or counts at a price in USD per million tokens, such as "10".
unknown_price = "dearest"
# When the ledger cannot answer: false goes on from memory on what was left, true refuses at once.
strict = false
# Seconds a call may wait for money that other calls have reserved; 0 does not wait.
admit_wait = 0
# "full" makes every call wait for the disk once it is settled; with "normal" a power cut may lose the last second.
synchronous = "normal"
# true tries budgets and rules out: all is decided and recorded, nothing refused but what you block by hand.
dry_run = false
# Tell about prompts of so many tokens or more; 0 never does.
warn_prompt_tokens = 0
# Tell about so many identical calls within 10 minutes, and about so many failed tries of one request within 5; 0 never
# does. To refuse them as well, see [repeat] and [retry_loop].
warn_repeats = 20
warn_retries = 5

[notify]
# Native notifications of this desktop.
desktop = true

[retention]
# Days the ledger keeps every call in detail (14 at least), and its sums of each day; 0 keeps them for ever.
events = 90
aggregates = 365

[tui]
# A theme of the themes folder; the key in the terminal changes it for a session.
theme = "costmon-dark"
"""
