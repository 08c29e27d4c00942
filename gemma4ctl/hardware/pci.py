"""Graphics and accelerator functions on the PCI bus, read from sysfs without any driver."""

from __future__ import annotations

from gemma4ctl.hardware.access import Access

NVIDIA = "0x10de"
AMD = "0x1002"
_ACCELERATOR_CLASSES = {
    NVIDIA: ("0x0300", "0x0302"),  # display and 3D controllers
    AMD: ("0x0380", "0x1200"),  # Instinct; 0x0300 would count integrated graphics
}


def accelerators(access: Access, vendor: str) -> tuple[str, ...]:
    """The PCI addresses of the GPUs of ``vendor`` (:data:`NVIDIA` or :data:`AMD`), sorted."""
    found = []
    for folder in sorted(access.path("/sys/bus/pci/devices").glob("*")):
        class_code = access.read(folder / "class") or ""
        if access.read(folder / "vendor") == vendor and class_code.startswith(
            _ACCELERATOR_CLASSES[vendor]
        ):
            found.append(folder.name.lower())
    return tuple(found)
