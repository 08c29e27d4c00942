"""The SGLang model module: Gemma 4 with fused kernels, and KV only for the layers that own it.

SGLang loads it into its own processes. Nothing here imports more than the standard library, torch,
triton and SGLang, and nothing does anything unless a variable of
:mod:`gemma4ctl.sglang_model.switches` asks for it. Whatever is not supported is left to SGLang's
own code, and the server's log says so in one line a process.

| module | holds |
|---|---|
| ``switches`` | the variables that switch it on |
| ``support`` | what it is made for, and which server options go to stock |
| ``announce`` | the lines in the server's log |
| ``plugin`` | the entry point that every ``sglang serve`` of an environment calls |
| ``kv_sharing`` | no KV for layers that share it, nor for the MTP draft |
| ``models`` | the package SGLang loads model classes from |
| ``layers`` | the forward passes of the decoder layer, attention and text model |
| ``decode`` | attention of decode batches |
| ``logits`` | the softcap of the logits |
| ``adopt`` | switches a model that SGLang built to those layers, or leaves it as it is |
| ``kernels`` | the Triton kernels and their references in plain PyTorch |
"""
