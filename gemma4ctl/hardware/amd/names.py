"""Names of AMD Instinct GPUs by PCI device id, for sources that give no market name.

From the ``amdgpu.ids`` table of libdrm; the MI325X and MI308X virtual functions from the node
labeller of ROCm/k8s-device-plugin.
"""

from __future__ import annotations

INSTINCT = {
    0x740C: "AMD Instinct MI250X / MI250",
    0x740F: "AMD Instinct MI210",
    0x7408: "AMD Instinct MI250X",
    0x74A0: "AMD Instinct MI300A",
    0x74A1: "AMD Instinct MI300X",
    0x74A2: "AMD Instinct MI308X",
    0x74A5: "AMD Instinct MI325X",
    0x74A8: "AMD Instinct MI308X HF",
    0x74A9: "AMD Instinct MI300X HF",
    0x74B5: "AMD Instinct MI300X VF",
    0x74B6: "AMD Instinct MI308X",
    0x74B9: "AMD Instinct MI325X VF",
    0x74BC: "AMD Instinct MI308X HF VF",
    0x74BD: "AMD Instinct MI300X HF",
    0x75A0: "AMD Instinct MI350X",
    0x75A3: "AMD Instinct MI355X",
    0x75B0: "AMD Instinct MI350X VF",
    0x75B3: "AMD Instinct MI355X VF",
}
