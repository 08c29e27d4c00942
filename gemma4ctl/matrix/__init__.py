"""Every plan that the profile table allows, rendered and checked: ``gemma4ctl matrix``.

``cases`` lists the requests, ``resolve`` plans and checks one, ``forms`` compares the output forms
of a plan, ``run`` does it for all on several processes, ``document`` writes the result as JSON or
Markdown, and ``changes`` compares two results.
"""
