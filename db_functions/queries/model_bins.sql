-- The frozen bins of a model, in the order of their cells; column_index is a feature's place in the
-- model's output.
select b.kind, b.name, array_position(m.feature_names, b.name) - 1 as column_index, b.edges,
       b.categories, b.first_cell
from ml_internal.bins b join ml.models m on m.id = b.model_id
where b.model_id = %(model)s
order by b.position
