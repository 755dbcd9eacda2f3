-- 1,000 varied rows, the same every time; every kind of oddity falls on its own residue of n.
create temporary table numbered as
select n, md5('pattern ' || n)::uuid as id, (abs(hashint4(n)) % 10000) / 9999.0::float8 as chance
from generate_series(1, 1000) n;

insert into pattern_events (
    id, symbol, timeframe, pattern_type, status, confidence, target, entry, stoploss, support, resistance, draw_commands,
    metadata, created_at, updated_at, completed_at, snapshot_url, operator_id, verdict, verdict_notes, rule_evaluation,
    auto_generated, parent_pattern_id)
select id, 'OLD' || n % 5, (array['1d', '1h', '7 weeks'])[1 + n % 3],
       (array['double_bottom', 'head_and_shoulders', 'Ünïcode ''quoted''', ''])[1 + n % 4],
       (enum_range(null::pattern_status))[1 + n % 5],
       case when n % 11 = 0 then null when n % 11 = 1 then 0 when n % 11 = 2 then 1 when n % 11 = 3 then 0.1::float8 + 0.2
            else chance end,
       case n % 13 when 0 then null when 1 then 'NaN' when 2 then 'Infinity' when 3 then '-Infinity' when 4 then 1e308
            else 100 + 20 * chance end,
       case n % 17 when 0 then null when 1 then 'NaN' when 2 then 'Infinity' when 3 then -1e308 else 108 + chance end,
       case n % 7 when 0 then null when 1 then 'NaN' else 95.5 end,
       case n % 5 when 0 then null when 1 then '-Infinity' else 94 + chance end,
       case n % 6 when 0 then null else 112 end,
       case n % 9 when 0 then null when 1 then '[{"type": "line", "points": [[0, 1.50], [1, 2]]}]' else '[]'::jsonb end,
       case n % 19 when 0 then null when 1 then '[1, 2]' when 2 then '"text"' when 3 then 'null' when 4 then '17'
            when 5 then '{"market": "none"}' when 6 then '{"market": {"vix": "NaN", "news_sentiment": true}}'
            when 7 then '{"market": {"vix": 18.5, "sector_performance": 0.012}}' else '{"source": "scanner"}'::jsonb end,
       case when n % 23 in (0, 1) then null when n % 23 = 2 then '-infinity'
            else timestamptz '2024-01-01 21:00+00' + n * interval '7 hours 1 microsecond' end,
       case when n % 23 in (0, 2) then null
            else timestamptz '2024-01-02 21:00+00' + n * interval '7 hours 3 microseconds' end,
       case when n % 5 in (2, 3) then timestamptz '2025-02-03 04:05:06.789+00' end,
       case when n % 29 = 0 then 'https://example.org/' || n end, case when n % 31 = 0 then 'operator ' || n end,
       case n % 4 when 0 then null when 1 then 'bullish' when 2 then 'bearish' else 'neutral' end,
       case when n % 37 = 0 then E'two\nlines' end,
       case n % 8 when 0 then null when 1 then '{"reason": "breakout"}' when 2 then '[]' else '{"score": 1.0}'::jsonb end,
       case n % 3 when 0 then null when 1 then true else false end,
       case when n % 10 = 0 then md5('pattern ' || (n - 1))::uuid end
from numbered;
