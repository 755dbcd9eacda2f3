-- What a model must have shown before it is promoted, and what it has.
select g.gate, g.passed, g.found from ml.gates(%(version)s) g
