"""Risk control of orders before they are sent: pure, fail closed, one file per control.

``decide`` puts intents before controls; ``context`` is what they may look at; ``controls/`` holds them.
"""
