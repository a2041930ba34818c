"""`costmon prices build`: for developers."""

from __future__ import annotations

import click


@click.command()
@click.option("--output", type=click.Path(dir_okay=False), help="Default: the bundled catalog.json.")
@click.option("--checked", metavar="DATE", help="When that genai-prices came out; default: as last built.")
def build(output: str | None, checked: str | None) -> None:
    """For developers: make catalog.json from genai-prices and pricing/*.toml."""
    import os

    from costmon import paths
    from costmon.cli.values import day_of
    from costmon.errors import PriceError
    from costmon.pricing.catalog import build as builder

    folder = paths.bundled("pricing")
    path = output or os.path.join(folder, "catalog.json")
    try:
        catalog = builder.build(folder, day_of(checked, "--checked") or builder.release_day(folder))
        builder.write(catalog, path)
    except (PriceError, OSError) as error:
        raise click.ClickException(str(error)) from error
    count = sum(len(part["models"]) for part in catalog["providers"].values())
    click.echo(f"{path}: {count} models, genai-prices {catalog['version']} of {catalog['checked']}")
