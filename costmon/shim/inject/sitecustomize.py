"""Put first on PYTHONPATH by `costmon run`: watches the app without a change to it.

This folder holds nothing else, so nothing of costmon's environment becomes importable in the app. The shim is loaded
from its own files by path, and any other sitecustomize the app would have had runs as if this one were not there.
"""

import os
import sys


def _load_shim(package: str) -> None:
    """Import the costmon beside this folder as `costmon`, unless the app brings its own."""
    from importlib.util import module_from_spec, spec_from_file_location

    if "costmon" not in sys.modules:
        init = os.path.join(package, "__init__.py")
        spec = spec_from_file_location("costmon", init, submodule_search_locations=[package])
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules["costmon"] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules["costmon"]
            raise
    sys.modules["costmon"].instrument()


def _watch(here: str) -> None:
    if os.environ.get("COSTMON_ENABLED", "1").strip().lower() in ("0", "false", "no", "off"):
        return
    if sys.version_info < (3, 11):  # noqa: UP036 - the app's Python may be any
        sys.stderr.write("costmon: this app runs on a Python older than 3.11 and is not watched\n")
        return
    try:
        _load_shim(os.path.dirname(os.path.dirname(here)))
    except Exception as error:
        sys.stderr.write("costmon: this app is not watched: %s: %s\n" % (type(error).__name__, error))  # noqa: UP031


def _chain(here: str) -> None:
    """Run the sitecustomize that this one shadows, if there is one."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec(
        "sitecustomize", [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    )
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _here]
_watch(_here)
_chain(_here)
