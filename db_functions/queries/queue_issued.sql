-- The highest id handed out so far, committed or not.
select case when is_called then last_value else last_value - 1 end as id from ml.queue_id_seq
