"""Known causes of a server that failed, as data: what the log says, what it means, what to do.

The texts are those of SGLang 0.5.11 to 0.5.23, PyTorch, transformers, huggingface_hub, uvicorn and
docker. :mod:`gemma4ctl.launch.diagnose` takes the first cause that matches, so the special ones
come before the general ones. ``{name}`` in a message is a named group of the pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gemma4ctl.launch.logs import Phase


@dataclass(frozen=True)
class Cause:
    """One cause: a line matches ``pattern``, and any line ``also`` where that is given.

    ``also`` is looked for in the arguments that SGLang prints too.
    ``phases`` restricts it to the phase the start was in; empty: any.
    """

    code: str
    pattern: re.Pattern[str]
    message: str
    remedy: str
    phases: tuple[Phase, ...] = ()
    also: re.Pattern[str] | None = None


def _cause(
    code: str,
    pattern: str,
    message: str,
    remedy: str,
    phases: tuple[Phase, ...] = (),
    also: str | None = None,
) -> Cause:
    return Cause(
        code, re.compile(pattern), message, remedy, phases, re.compile(also) if also else None
    )


_GPU_OUT_OF_MEMORY = r"OutOfMemoryError|(?:CUDA|HIP|XPU)(?: error:)? out of memory"

_SWA_POOL = r"SWA pool \((?P<tokens>\d+) tokens\) cannot hold even one request"
_NO_POOL = "no memory is left for the KV cache: the weights use what the memory fraction allows"
_MORE_MEMORY = (
    "stop other processes on the GPU (`gemma4ctl detect` names them), raise --mem-fraction, "
    "use more GPUs (--gpus), or a smaller checkpoint"
)

_NO_MODEL = (
    r"RepositoryNotFoundError|40[14] Client Error"  # the hub answers 401 for unknown names too
    r"|(?:Repo id must [^:]*: )'(?P<model>[^']+)'"
    r"|Can't load the (?:configuration|model) of '(?P<name>[^']+)'"
    r"|(?P<id>\S+) is not a local folder and is not a valid model identifier"
    r"|(?P<folder>\S+) does not appear to have a file named .*config\.json"
)

CAUSES: tuple[Cause, ...] = (
    # The command line
    _cause(
        "ambiguous-flag",
        r"error: ambiguous option: (?P<flag>\S+) could match (?P<matches>.+)",
        "this SGLang release takes {flag} for several flags: {matches}",
        "write the full name of the flag; `sglang serve --help` lists them",
    ),
    _cause(
        "unknown-flag",
        r"error: (?:unrecognized arguments|the following arguments are required): (?P<flags>.+)",
        "this SGLang release does not take these arguments: {flags}",
        "set --sglang-version to the installed release, or remove the flag after `--`",
    ),
    _cause(
        "bad-flag-value",
        r"error: argument (?P<flag>[^:]+): (?P<why>.+)",
        "SGLang refuses the value of {flag}: {why}",
        "correct the value; `sglang serve --help` lists what your release accepts",
    ),
    _cause(
        "attention-backend",
        r"Gemma4 only supports .* attention backend, got (?P<got>.+)",
        "the attention backend is not supported for Gemma 4 ({got})",
        "remove --attention-backend, or use `--attention-backend triton`",
    ),
    _cause(
        "eagle3-draft",
        r"draft requires --speculative-algorithm NEXTN or EAGLE",
        "EAGLE3 does not work with Gemma 4's own draft model",
        "use --mtp, which sets `--speculative-algorithm NEXTN`",
    ),
    # A request
    _cause(
        "audio-without-tower",
        r"Audio inputs provided but the model does not have an audio tower",
        "a request with audio ended the server, as this variant has no audio tower",
        """pass `-- --limit-mm-data-per-request '{"audio": 0}'`: such requests then get HTTP 400""",
    ),
    # The port
    _cause(
        "port-in-use",
        r"(?i)address already in use|Port is already in use|port is already allocated"
        r"|\b(?:\w*port\w*) at \d+ is not available",
        "another process listens on the port",
        "choose another one with --port, or stop that process (`ss -ltnp` shows it)",
    ),
    _cause(
        "bind-address",
        r"(?i)cannot assign requested address",
        "the bind address is not an address of this machine",
        "use --host 127.0.0.1, or 0.0.0.0 to listen on every interface",
    ),
    # Container
    _cause(
        "image-missing",
        r"pull access denied|manifest (?:for \S+ )?(?:not found|unknown)|no matching manifest",
        "the container image does not exist, or not for this CPU architecture",
        "give another image with --image; without it `gemma4ctl docker` takes one for this host",
    ),
    _cause(
        "container-no-gpu",
        r"could not select device driver|nvidia-container-cli|unresolvable CDI devices"
        r"|error gathering device information while adding custom device",
        "docker cannot give the container a GPU",
        "install the NVIDIA Container Toolkit and restart docker (AMD: load the amdgpu driver)",
    ),
    _cause(
        "docker-daemon",
        r"(?i)cannot connect to the docker daemon|permission denied while trying to connect",
        "the docker daemon does not answer, or not to this user",
        "start docker, or join the docker group; --runtime local runs without docker",
    ),
    _cause(
        "container-name",
        r"Conflict\. The container name \"(?P<name>[^\"]+)\" is already in use",
        "a container named {name} exists already",
        "remove it with `docker rm -f`, or stop the server that it runs",
    ),
    # GPU memory, by the stage it ran out in
    _cause(
        "memory-fraction-too-low",
        r"Loaded weights leave no GPU memory for the KV cache|Not enough memory\. Please try to"
        r" increase --mem-fraction-static|Memory pool size is too small",
        _NO_POOL,
        _MORE_MEMORY,
    ),
    _cause(  # with a usual ratio it is the whole budget that is too small
        "memory-fraction-too-low",
        _SWA_POOL,
        _NO_POOL,
        _MORE_MEMORY,
        also=r"server_args=.*\bswa_full_tokens_ratio=(?:0?\.[2-9]|1)",
    ),
    _cause(
        "swa-pool-too-small",
        _SWA_POOL,
        "the sliding-window KV pool ({tokens} tokens) cannot hold one request",
        "raise `--swa-full-tokens-ratio`, raise --mem-fraction, or use more GPUs",
    ),
    _cause(
        "gpus-unbalanced",
        r"RuntimeError: The memory capacity is unbalanced",
        "the chosen GPUs have unequal free memory: other processes use some of them",
        "choose idle GPUs with --gpus, or stop the other processes",
    ),
    _cause(
        "out-of-memory-graphs",
        rf"Capture cuda graph failed: .*(?:{_GPU_OUT_OF_MEMORY})",
        "the GPU ran out of memory while CUDA graphs were captured",
        "lower --mem-fraction by 0.05, or lower `--cuda-graph-max-bs-decode`",
    ),
    _cause(
        "out-of-memory-graphs",
        _GPU_OUT_OF_MEMORY,
        "the GPU ran out of memory while CUDA graphs were captured",
        "lower --mem-fraction by 0.05, or lower `--cuda-graph-max-bs-decode`",
        phases=("graphs",),
    ),
    _cause(
        "out-of-memory-pools",
        _GPU_OUT_OF_MEMORY,
        "the GPU ran out of memory while the KV pools were allocated",
        "lower --mem-fraction by 0.05, and stop other processes on the GPU",
        phases=("pools",),
    ),
    _cause(
        "out-of-memory-weights",
        _GPU_OUT_OF_MEMORY,
        "the weights do not fit in the GPU's free memory",
        "stop other processes on the GPU (`gemma4ctl detect` names them), use more GPUs (--gpus), "
        "or a smaller checkpoint (`gemma4ctl profiles list checkpoints` gives sizes)",
        phases=("starting", "weights", "draft"),
    ),
    _cause(
        "out-of-memory-serving",
        _GPU_OUT_OF_MEMORY,
        "the GPU ran out of memory while serving",
        "lower --mem-fraction by 0.05, the chunked prefill size, or --concurrency",
    ),
    _cause(
        "kernel-shared-memory",
        r"OutOfResources: out of resource: shared memory|Required: (?P<need>\d+), Hardware limit",
        "a Triton kernel needs more shared memory per block than this GPU has",
        "use another quantization or attention backend (`gemma4ctl suggest` chooses those for "
        "this GPU): Gemma 4's 512-wide heads do not fit on every one",
    ),
    _cause(
        "graph-capture",
        r"Capture cuda graph failed: (?P<why>.+)",
        "CUDA graph capture failed: {why}",
        "pass `-- --cuda-graph-backend-decode disabled` (slower) to see whether the rest works",
    ),
    # Host memory
    _cause(
        "host-mmap",
        r"unable to mmap (?P<bytes>\d+) bytes",
        "host memory cannot map a weights file of {bytes} bytes",
        "add RAM or swap: it must hold the largest weights file",
    ),
    _cause(
        "shared-memory",
        r"(?i)No space left on device: '/dev/shm|bus error|insufficient shared memory"
        r"|shared memory.*(?:No space left|too small)|Error while creating shared memory segment",
        "the shared memory (/dev/shm) is too small for the ranks to talk",
        "in a container use --ipc=host or --shm-size 32g; else remount /dev/shm with more",
    ),
    _cause(
        "disk-full",
        r"No space left on device|Disk quota exceeded",
        "a disk is full",
        "free space in the Hugging Face cache (HF_HOME), the image store, or the temporary folder",
    ),
    # Model files
    _cause(
        "gated-model",
        r"GatedRepoError|Access to model .* is restricted|Cannot access gated repo"
        r"|Invalid user token",
        "the Hugging Face hub refuses access to the model",
        "accept the licence on the model's page and set HF_TOKEN to a token that may read it",
    ),
    _cause(
        "offline-not-cached",
        r"LocalEntryNotFoundError|OfflineModeIsEnabled|outgoing traffic has been disabled"
        r"|couldn't connect to '[^']+' to load"
        r"|Cannot find the requested files in the (?:disk|local) cache",
        "the model is not in the cache, and the hub cannot be reached",
        "download it first (`hf download MODEL`), give --model-path FOLDER, "
        "or unset HF_HUB_OFFLINE",
    ),
    _cause(
        "draft-missing",
        _NO_MODEL,
        "the draft model of MTP was not found: {model}",
        "check --draft-path: a folder with config.json, or a repository's name; "
        "--no-mtp serves without it",
        also=r"in _resolve_speculative_algorithm_alias|speculative_draft_model|in init_draft",
    ),
    _cause(
        "model-missing",
        _NO_MODEL,
        "the model was not found: {model}",
        "check --model-path: a folder with config.json, or a repository's name; "
        "a private repository needs HF_TOKEN",
    ),
    _cause(
        "weights-missing",
        r"Cannot find any model weights with|No (?:safetensors|model) (?:files|weights) found"
        r"|SafetensorError|Error while deserializing header",
        "the weights are missing or cut short",
        "download the checkpoint again; for a test without weights pass `-- --load-format dummy`",
    ),
    _cause(
        "tokenizer",
        r"Can't load tokenizer|Tokenizer class \S+ does not exist"
        r"|Couldn't instantiate the backend tokenizer|can't determine decoder type",
        "the tokenizer cannot be loaded",
        "the model folder needs tokenizer.json and tokenizer_config.json; download them again",
    ),
    _cause(
        "transformers-too-old",
        r"KeyError: '(?P<type>gemma4\w*)'|model type `(?P<kind>gemma4\w*)`.*does not recognize"
        r"|does not recognize this architecture|cannot import name '\w+' from 'transformers",
        "the installed transformers does not know this Gemma 4 model",
        "install the transformers that your SGLang release pins (`pip install -U 'sglang[all]'`); "
        "`gemma4ctl profiles list releases` names it",
    ),
    _cause(
        "architecture-unsupported",
        r"Model architectures (?P<names>\[[^\]]*\]) (?:are not supported|failed to be inspected)",
        "this SGLang release cannot serve {names}",
        "install a newer SGLang; `gemma4ctl profiles list releases` says which serves what",
    ),
    _cause(
        "checkpoint-incompatible",
        r"size mismatch|shape mismatch|Attempted to load weight .* into parameter"
        r"|AssertionError: .*(?:loaded_weight|param)",
        "the weights do not have the shapes that SGLang expects",
        "use the bf16 checkpoint: `gemma4ctl profiles list checkpoints` marks the broken ones",
    ),
    _cause(
        "grammar-backend",
        r"No module named '(?P<module>xgrammar|outlines|llguidance)\w*'|Invalid grammar backend",
        "the grammar backend (structured output, tool calls) cannot be loaded",
        "install xgrammar, or pass `-- --grammar-backend none`",
    ),
    # Driver and software
    _cause(
        "driver-too-old",
        r"NVIDIA driver on your system is too old|CUDA driver version is insufficient"
        r"|forward compatibility was attempted|system has unsupported display driver"
        r"|Driver/library version mismatch",
        "the NVIDIA driver is older than the CUDA that SGLang was built for",
        "CUDA 13 builds need driver 580 or newer: update it and reboot, or use a release with "
        "CUDA 12 (0.5.19 or older)",
    ),
    _cause(
        "fabric-manager",
        r"CUDA_ERROR_SYSTEM_NOT_READY|system not yet initialized",
        "the GPUs are not initialized: on NVSwitch hosts the fabric manager must run",
        "start it: `systemctl start nvidia-fabricmanager`, same version as the driver",
    ),
    _cause(
        "no-gpu",
        r"No CUDA GPUs are available|no CUDA-capable device is detected"
        r"|Torch not compiled with CUDA|Found no NVIDIA driver|No HIP GPUs are available"
        r"|invalid device ordinal|No accelerator .*available",
        "PyTorch sees no usable GPU",
        "check `gemma4ctl detect` and CUDA_VISIBLE_DEVICES, and that torch is a GPU build",
    ),
    _cause(
        "gpu-unsupported",
        r"no kernel image is available for execution|is not compatible with the current PyTorch",
        "the installed kernels are not built for this GPU",
        "install an SGLang and PyTorch build for this GPU, or use --runtime docker",
    ),
    _cause(
        "gpu-fault",
        r"illegal memory access|Xid|uncorrectable ECC|CUDA error: (?P<error>unspecified launch"
        r" failure|device-side assert triggered)|GPU is lost|Memory access fault by GPU",
        "the GPU reported a fault",
        "try once more; if it comes back, look at `dmesg` for Xid or ECC errors, "
        "and try `--attention-backend triton`",
    ),
    _cause(
        "nccl",
        r"(?:NCCL|RCCL|ncclUnhandled|ncclSystem|ncclInternal)\w* ?(?:[Ee]rror|WARN)"
        r"|DistBackendError|ncclRemoteError",
        "the GPUs cannot talk to each other (NCCL)",
        "set NCCL_DEBUG=INFO to see why; check /dev/shm, fabric manager, `nvidia-smi topo -m`",
    ),
    _cause(
        "compiler-missing",
        r"Could not find nvcc|nvcc.* not found|Could not find CUDA installation"
        r"|CUDA_HOME environment variable is not set"
        r"|[Ff]ailed to find C compiler|Python\.h: No such file",
        "kernels are compiled at the first start, and the compiler for it is missing",
        "install the CUDA toolkit (nvcc), gcc and the Python headers, or use --runtime docker",
    ),
    _cause(
        "kernels-missing",
        r"Can ?not import \w+ in sgl_kernel|ImportError: .*(?:sgl_kernel|flashinfer)",
        "SGLang's compiled kernels are missing or built for another CUDA or GPU",
        "install SGLang again in a new virtual environment, or use --runtime docker",
    ),
    _cause(
        "package-mismatch",
        r"is installed with version (?P<have>\S+), which is less than the minimum"
        r"|Please (?:uninstall|reinstall) the (?:old|latest) version",
        "a package of SGLang is too old for this release",
        "install SGLang again in a new virtual environment, so that its own pins apply",
    ),
    _cause(
        "package-missing",
        r"ModuleNotFoundError: No module named '(?P<module>[^']+)'",
        "the Python package {module} is missing where SGLang runs",
        "install SGLang again in a new virtual environment, so that its own pins apply",
    ),
    # After the model was loaded
    _cause(
        "warmup",
        r"Initialization failed\. warmup error",
        "the model was loaded, but its first request failed",
        "look for the first error in the log; a kernel that fails to compile is the usual reason",
    ),
    _cause(
        "worker-killed",
        r"scheduler died during initialization \(exit code: -9\)|\bOut of memory: Killed process"
        r"|exit code: 137",
        "a worker was killed, most likely by the kernel because host memory ran out",
        "check `dmesg -T | grep -i oom`; add RAM or swap, or raise the container's memory limit",
    ),
    _cause(
        "worker-crashed",
        r"scheduler died during initialization \(exit code: (?P<code>-?\d+)\)",
        "a worker died during the start (exit code {code})",
        "look for the first error of that rank in the log",
    ),
)
