select a.advice, a.rows from ml.blend_advice() a
