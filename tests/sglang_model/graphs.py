"""SGLang's runner of prefill graphs on a CPU, over an emulation of CUDA graphs.

What a CUDA graph keeps is emulated: operations and Triton launches with the addresses of their
tensors, and no Python. A replay repeats them on whatever these tensors hold by then. A capture
refuses to read a value back, as CUDA does. Which memory is used again is not emulated.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache, partial
from types import FunctionType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves
from triton.runtime.interpreter import InterpretedFunction

from tests.sglang_model import server

BACKEND = "sglang.srt.model_executor.runner_backend.breakable_cuda_graph_backend"
PIECES = "sglang.srt.model_executor.runner_backend_utils.breakable_cuda_graph.breakable_cuda_graph"
RUNNER = "sglang.srt.model_executor.runner.prefill_cuda_graph_runner"
READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)


class Graph(TorchDispatchMode):
    """A ``torch.cuda.CUDAGraph``."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._work: list[Callable[[], Any]] = []

    def capture_begin(self, **options: Any) -> None:
        """Note all work until the end."""
        self._run = InterpretedFunction.run
        InterpretedFunction.run = self._launching(self._run)
        self.__enter__()

    def capture_end(self) -> None:
        """Note no more."""
        self.__exit__(None, None, None)
        InterpretedFunction.run = self._run

    def replay(self) -> None:
        """Repeat the work."""
        with torch.no_grad():
            for each in self._work:
                each()

    def __torch_dispatch__(
        self, operation: Any, types: Any, given: Any = (), options: Any = None
    ) -> Any:
        options = options or {}
        if operation in READS:
            raise RuntimeError(f"{operation} while a CUDA graph is captured")
        made = operation(*given, **options)
        if operation._schema.is_mutable:
            self._work.append(lambda: operation(*given, **options))
        elif fresh := _fresh(made, (given, options)):
            self._work.append(lambda: _refresh(fresh, operation(*given, **options)))
        return made

    def _launching(self, run: Any) -> Any:
        def launch(kernel: Any, *given: Any, **options: Any) -> Any:
            def again() -> Any:
                with _disable_current_modes():
                    return run(kernel, *given, **options)

            self._work.append(again)
            return again()

        return launch


def _fresh(made: Any, given: Any) -> list[tuple[int, torch.Tensor]]:
    """The results that are no views of what was given, with their places."""
    known = {_storage(each) for each in tree_leaves(given) if isinstance(each, torch.Tensor)}
    leaves = enumerate(tree_leaves(made))
    return [
        (place, each)
        for place, each in leaves
        if isinstance(each, torch.Tensor) and _storage(each) not in known
    ]


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _refresh(fresh: list[tuple[int, torch.Tensor]], made: Any) -> None:
    leaves = tree_leaves(made)
    for place, tensor in fresh:
        tensor.copy_(leaves[place])


@cache
def attention_on_cpus() -> torch.library.Library:
    """SGLang's operator for attention between graphs, which it registers for CUDA only."""
    from sglang.srt.layers import radix_attention

    name = "unified_attention_with_output"
    own = (each for each in gc.get_objects() if isinstance(each, FunctionType))
    function = next(
        each for each in own
        if (each.__module__, each.__name__) == (radix_attention.__name__, name)
    )  # fmt: skip
    library = torch.library.Library("sglang", "FRAGMENT")
    library.impl(name, function, "CPU")
    return library


@contextmanager
def emulated() -> Iterator[None]:
    """CUDA graphs and streams where SGLang's breakable graphs ask for them."""
    attention_on_cpus()
    with ExitStack() as stack:
        for target, value in (
            ("torch.cuda.CUDAGraph", Graph),
            ("torch.cuda.current_stream", lambda *_: None),
            (f"{PIECES}._weak_ref_if_tensor", lambda value: value),
            (f"{RUNNER}.graph_capture", lambda: nullcontext(SimpleNamespace(stream=None))),
            (f"{BACKEND}.set_graph_pool_id", lambda pool: None),
            (f"{BACKEND}.get_or_create_global_graph_memory_pool", lambda device: None),
        ):
            stack.enter_context(patch(target, value))
        yield


class Requests(server.Requests):
    """Requests whose prefill SGLang's runner replays; ``replays`` counts it.

    Args:
        sizes: tokens of the graphs.
        rest: as :class:`tests.sglang_model.server.Requests` takes them.
    """

    def __init__(self, sizes: Sequence[int], *rest: Any) -> None:
        super().__init__(*rest)
        self.runner, self.replays = runner(self, sizes), 0

    def computed(self, batch: Any) -> torch.Tensor:
        """Logits [tokens, vocabulary] of a batch."""
        if not (batch.forward_mode.is_extend() and self.runner.can_run_graph(batch)):
            return super().computed(batch)
        self.replays += 1
        with (
            torch.no_grad(),
            patch.object(self.model.logits_processor, "forward", partial(_as_output, self.model)),
        ):
            logits: torch.Tensor = self.runner.execute(batch).next_token_logits
        return logits


def _as_output(model: Any, *given: Any) -> Any:
    from sglang.srt.layers.logits_processor import LogitsProcessorOutput

    return LogitsProcessorOutput(server.everywhere(model.logits_processor, *given))


def runner(requests: server.Requests, sizes: Sequence[int]) -> Any:
    """SGLang's runner with graphs of ``sizes`` tokens for the model of ``requests``."""
    from sglang.srt.model_executor.model_runner_components.layer_setup import (
        compute_attention_and_moe_layers,
    )
    from sglang.srt.model_executor.runner import PrefillCudaGraphRunner
    from sglang.srt.speculative.spec_info import SpeculativeAlgorithm

    model = requests.model
    attention, moe, fusions, indexers, companions = compute_attention_and_moe_layers(
        server.text(model)
    )
    return PrefillCudaGraphRunner(
        SimpleNamespace(
            model=model,
            model_config=model.server,
            device="cpu",
            gpu_id=0,
            dtype=torch.float32,
            server_args=server_args(sizes),
            is_generation=True,
            is_draft_worker=False,
            spec_algorithm=SpeculativeAlgorithm.NONE,
            req_to_token_pool=requests.backend.req_to_token_pool,
            attn_backend=requests.backend,
            attention_layers=attention,
            moe_layers=moe,
            moe_fusions=fusions,
            dsa_indexers=indexers,
            mha_companion_layers=companions,
            tp_group=SimpleNamespace(barrier=lambda: None),
            pp_group=SimpleNamespace(is_last_rank=True),
            graph_shared_output=None,
        )
    )


def server_args(sizes: Sequence[int]) -> Any:
    from sglang.srt.model_executor.cuda_graph_config import Backend, CudaGraphConfig, PhaseConfig
    from sglang.srt.runtime_context import get_server_args

    given = get_server_args()
    given.cuda_graph_config = CudaGraphConfig(
        prefill=PhaseConfig(backend=Backend.BREAKABLE, bs=list(sizes), max_bs=max(sizes))
    )
    return given
