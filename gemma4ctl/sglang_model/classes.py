"""SGLang's Gemma 4 models and drafts, each switched to the fused layers once it is built.

The names are SGLang's: its model registry, processors and rules go by them.
"""

from __future__ import annotations

from typing import Any

from sglang.srt.models import gemma4_causal, gemma4_mm, gemma4_mtp, gemma4_unified

from gemma4ctl.sglang_model.adopt import adopt


class Gemma4ForConditionalGeneration(gemma4_mm.Gemma4ForConditionalGeneration):
    """E2B, E4B, 26B-A4B and 31B."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        adopt(self, self.language_model)


class Gemma4UnifiedForConditionalGeneration(gemma4_unified.Gemma4UnifiedForConditionalGeneration):
    """12B."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        adopt(self, self.language_model)


class Gemma4ForCausalLM(gemma4_causal.Gemma4ForCausalLM):
    """A checkpoint with the text model only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        adopt(self, self.model)


class Gemma4AssistantForCausalLM(gemma4_mtp.Gemma4AssistantForCausalLM):
    """The MTP draft of E2B, E4B, 26B-A4B and 31B."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        adopt(self, self.model)


class Gemma4UnifiedAssistantForCausalLM(gemma4_mtp.Gemma4UnifiedAssistantForCausalLM):
    """The MTP draft of 12B."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        adopt(self, self.model)


ALL: list[type] = [
    Gemma4ForConditionalGeneration,
    Gemma4UnifiedForConditionalGeneration,
    Gemma4ForCausalLM,
    Gemma4AssistantForCausalLM,
    Gemma4UnifiedAssistantForCausalLM,
]
