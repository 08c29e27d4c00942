"""Checks of the installed SGLang and what it needs."""

from __future__ import annotations

from gemma4ctl import __version__
from gemma4ctl.launch.install import SGLangInstall
from gemma4ctl.launch.preflight.check import Check, fail, ok, warn
from gemma4ctl.launch.preflight.needs import Needs
from gemma4ctl.launch.runtime import older, why_unfit


def check_sglang(needs: Needs, install: SGLangInstall | None) -> Check:
    """SGLang is installed, serves the model, and is the release that was planned for."""
    name, needed = "SGLang", f"SGLang {needs.release}"
    get = f"pip install sglang=={needs.release} (in a new virtual environment), or --runtime docker"
    if install is None:
        return fail(name, "not installed", needed, get)
    found = f"{install.release or 'unknown version'} ({install.executable})"
    unfit = why_unfit(install, needs.min_release)
    if unfit:
        return fail(name, found, f"SGLang {needs.min_release} or newer for this model", get)
    if install.release is None:
        return warn(name, found, needed, "its version cannot be read; flags may differ")
    if install.release != needs.release:
        remedy = f"flags may differ; plan for it with --sglang-version {install.release}"
        return warn(name, found, needed, remedy)
    return ok(name, found, needed)


def check_transformers(needs: Needs, install: SGLangInstall | None) -> Check | None:
    """transformers is what the release pins: older lacks model types, newer may break it."""
    found = install.versions.get("transformers") if install else None
    if needs.transformers is None or install is None or not install.versions:
        return None
    name, needed = "transformers", f"transformers {needs.transformers}"
    remedy = f"pip install transformers=={needs.transformers} where SGLang is installed"
    if found is None:
        return fail(name, "not installed", needed, remedy)
    if older(found, needs.transformers):
        return fail(name, found, needed, remedy)
    if found != needs.transformers:
        return warn(name, found, needed, f"if the start fails: {remedy}")
    return ok(name, found, needed)


def check_module(needs: Needs, install: SGLangInstall | None) -> Check | None:
    """gemma4ctl is where SGLang imports from: without it, a server that needs it does not start."""
    if not needs.module or install is None or not install.versions:
        return None
    name, needed = "model module", f"gemma4ctl {__version__} in the environment of SGLang"
    found = install.versions.get("gemma4ctl")
    if found == __version__:
        return ok(name, found, needed)
    remedy = (
        f"{install.python} -m pip install --no-deps gemma4ctl=={__version__}, or --kernels stock"
    )
    return fail(name, found or "not installed", needed, remedy)
