"""A notification daemon that takes its name on the bus and then never answers: `python hung_daemon.py`."""

from __future__ import annotations

import time

from jeepney import DBusAddress, new_method_call
from jeepney.io.blocking import open_dbus_connection

BUS = DBusAddress("/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus")

if __name__ == "__main__":
    connection = open_dbus_connection("SESSION")
    request = new_method_call(BUS, "RequestName", "su", ("org.freedesktop.Notifications", 0))
    connection.send_and_get_reply(request, timeout=5)
    time.sleep(300)
