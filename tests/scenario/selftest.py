"""Shows that the test tools themselves can fail: comparison, sink faults, damage, the proxy, laws, metrics parser, generated bodies. Needs no weir."""
import copy
import struct
import types
import unittest

import check
import drive
import faults
import grafana
import h2spec
import items
import loki_push
import payload
import peers
import series
import sink
import weir_process


class Comparison(unittest.TestCase):
    def changed(self, signal, change):
        sent = payload.message(signal, 3)
        got = copy.deepcopy(sent)
        change(got)
        return items.difference(signal, items.collect(signal, [sent]), items.collect(signal, [got]))

    def test_equal(self):
        for signal in items.REQUEST:
            self.assertIsNone(self.changed(signal, lambda r: None))
            self.assertEqual(items.count(signal, payload.message(signal, 7, scopes=2)), 7)

    def test_one_attribute(self):
        def change(r):
            r.resource_spans[0].scope_spans[0].spans[1].attributes[0].value.int_value += 1
        self.assertIn("attributes[0].value.intValue", self.changed("traces", change))

    def test_resource_and_scope(self):
        self.assertIn("resource.attributes[0]", self.changed("logs", lambda r: r.resource_logs[0].resource.attributes.pop(0)) or "")
        self.assertIn("scope.name", self.changed("metrics", lambda r: setattr(r.resource_metrics[0].scope_metrics[0].scope, "name", "x")))

    def test_each_item_has_its_own_resource(self):
        for signal in items.REQUEST:
            one = items.REQUEST[signal]()
            parts = [payload.message(signal, 1) for _ in range(20)]
            for i, part in enumerate(parts):
                next(items.containers(signal, part))[0].resource.attributes[0].value.string_value = f"host {i}"
                one.MergeFrom(part)
            self.assertIsNone(items.difference(signal, items.collect(signal, parts), items.collect(signal, [one])))

    def test_point_and_metric(self):
        def point(r):
            r.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[2].as_int = 0
        self.assertIsNotNone(self.changed("metrics", point))

        def metric(r):
            r.resource_metrics[0].scope_metrics[0].metrics[0].unit = "s"
        self.assertIn("metric.unit", self.changed("metrics", metric))

    def test_lost_and_doubled(self):
        def lose(r):
            del r.resource_logs[0].scope_logs[0].log_records[0]
        self.assertIn("1 items missing, 0 unexpected", self.changed("logs", lose))

        def double(r):
            spans = r.resource_spans[0].scope_spans[0].spans
            spans.add().CopyFrom(spans[0])
        self.assertIn("0 items missing, 1 unexpected", self.changed("traces", double))

    def test_grouping_does_not_matter(self):
        def regroup(r):
            spans = r.resource_spans[0].scope_spans[0].spans
            again = r.resource_spans.add()
            again.CopyFrom(r.resource_spans[0])
            del again.scope_spans[0].spans[:2], spans[2:]
        self.assertIsNone(self.changed("traces", regroup))

    def test_unknown_fields_count(self):
        sent = payload.message("traces", 1)
        span = sent.resource_spans[0].scope_spans[0].spans[0]
        more = type(span).FromString(span.SerializeToString() + b"\xd2\x06\x03new")
        got = copy.deepcopy(sent)
        got.resource_spans[0].scope_spans[0].spans[0].CopyFrom(more)
        self.assertIsNotNone(items.difference("traces", items.collect("traces", [sent]), items.collect("traces", [got])))


class GrafanaLinks(unittest.TestCase):
    def test_one_dollar_is_an_environment_variable(self):
        source = "datasources: [{uid: t, jsonData: {a: '{x=\"${__span.tags}\"} $HOME', b: ['$${__value.raw} $$__tags']}}]"
        self.assertEqual(grafana.provisioned(source)["t"]["jsonData"], {"a": '{x=""} ', "b": ["${__value.raw} $__tags"]})

    def test_variables(self):
        template = '${__span.tags["service.name"]} ${__span.tags.a.b} ${__trace.traceId} ${__value.raw} $__tags ${__span.tags.none}'
        self.assertEqual(grafana.filled(template, "t1", {"service.name": "s", "a.b": "c"}, "v", 'job="s"'), 's c t1 v job="s" ')


class Series(unittest.TestCase):
    def test_each_value_counts(self):
        sent = payload.message("metrics", 3)
        want, same = series.expected([sent], {}), lambda a, b: a == b
        self.assertIsNone(series.differ(want.samples, copy.deepcopy(want.samples), same))
        self.assertEqual(len(want.samples), 3 + 1)  # and target_info
        for change in (lambda got, k: got.pop(k), lambda got, k: got[k].popitem(), lambda got, k: got[k].update({t: v + 1 for t, v in got[k].items()}),
                       lambda got, k: got.update({(*k, ("new", "label")): got[k]})):
            got = copy.deepcopy(want.samples)
            change(got, next(iter(got)))
            self.assertIsNotNone(series.differ(want.samples, got, same))

    def test_an_exemplar_that_was_not_sent(self):
        self.assertIsNotNone(series.differ_exemplars({(("__name__", "a"),): [((), 1.0, 5)]}, {(("__name__", "a"),): [((), 2.0, 5)]}, 0))
        self.assertIsNotNone(series.differ_exemplars({(("__name__", "a"),): [((), 1.0, 5)]}, {}, 1))
        self.assertIsNone(series.differ_exemplars({(("__name__", "a"),): [((), 1.0, 5)]}, {(("__name__", "a"),): [((), 1.0, 5)]}, 1))


class Faults(unittest.TestCase):
    def setUp(self):
        self.sink = sink.Sink()
        self.clients = [drive.GrpcClient(self.sink.grpc_port), drive.HttpClient(self.sink.http_port, "gzip")]

    def tearDown(self):
        for c in self.clients:
            c.close()
        self.sink.down()

    def answers(self, fault, timeout=5):
        self.sink.store.set_fault(fault)
        return [c.export("traces", payload.message("traces", 2).SerializeToString(), timeout) for c in self.clients]

    def test_ok_and_partial(self):
        self.assertEqual([a.kind for a in self.answers({"mode": "ok"})], ["ok", "ok"])
        for a in self.answers({"mode": "partial", "rejected": 1}):
            response = items.RESPONSE["traces"].FromString(a.body)
            self.assertEqual((a.kind, response.partial_success.rejected_spans), ("ok", 1))
        self.assertEqual(self.sink.store.counts()["spans"], 8)

    def test_delays(self):
        for mode in ("unavailable", "exhausted"):
            for a in self.answers({"mode": mode, "delay": 2}):
                self.assertEqual((a.kind, a.delay), ("retry", 2))
        grpc_answer, http_answer = self.answers({"mode": "exhausted"})
        self.assertEqual((grpc_answer.kind, http_answer.kind), ("refused", "retry"))
        self.assertEqual(self.sink.store.counts()["spans"], 0)

    def test_permanent(self):
        self.assertEqual([a.kind for a in self.answers({"mode": "invalid"})], ["refused", "refused"])
        self.assertEqual([a.kind for a in self.answers({"mode": "too_large", "limit": 10})], ["refused", "refused"])
        self.assertEqual([a.kind for a in self.answers({"mode": "too_large", "limit": 10000})], ["ok", "ok"])

    def test_hang_reset_times(self):
        self.assertEqual([a.kind for a in self.answers({"mode": "hang"}, 0.3)], ["retry", "lost"])
        self.assertEqual([a.kind for a in self.answers({"mode": "reset"})][1], "lost")
        self.assertEqual([a.kind for a in self.answers({"mode": "unavailable", "times": 1})], ["retry", "ok"])

    def test_forget_and_until(self):
        scenario = types.SimpleNamespace(sink=lambda name: self.sink)
        self.answers({"mode": "ok"})
        self.assertTrue(drive.is_reached(scenario, {"sink": {"spans": 4}}, 0))
        self.sink.store.forget()
        self.assertFalse(drive.is_reached(scenario, {"sink": {"spans": 4}}, float("inf")))
        with self.assertRaises(weir_process.Failure):
            drive.is_reached(scenario, {"sink": {"spans": 4}}, 0)

    def test_down_and_up(self):
        self.sink.down()
        self.assertEqual([a.kind for a in self.answers({"mode": "ok"}, 0.5)], ["retry", "lost"])
        self.sink.up()
        self.assertEqual(self.clients[1].export("logs", b"", 5).kind, "ok")


class Pages(unittest.TestCase):
    PAGE = '# HELP a b\nweir_stage_items_in_total{stage="otlp"} 5\nweir_stage_items_out_total{stage="otlp"} 3\n'

    def test_laws(self):
        self.assertTrue(check.broken_laws(weir_process.parse_metrics(self.PAGE)))
        fixed = self.PAGE + 'weir_stage_items_dropped_total{stage="otlp",reason="x y"} 2\n'
        self.assertEqual(check.broken_laws(weir_process.parse_metrics(fixed)), [])
        self.assertTrue(check.broken_laws([]))

    def test_sum_and_comparison(self):
        page = weir_process.parse_metrics(self.PAGE + 'weir_stage_items_in_total{stage="b"} 4\n')
        self.assertEqual(weir_process.metric_sum(page, "weir_stage_items_in_total"), 9)
        self.assertEqual(weir_process.metric_sum(page, 'weir_stage_items_in_total{stage="b"}'), 4)
        self.assertIsNone(weir_process.metric_sum(page, "other"))
        self.assertTrue(check.compare(3, ">= 3") and not check.compare(2, ">= 3") and not check.compare(None, 0))
        with self.assertRaises(weir_process.Failure):
            weir_process.parse_metrics("not a sample")


class Bodies(unittest.TestCase):
    def test_nested(self):
        for kind in ("array", "map"):
            request = items.parse("traces", payload.nested(20, kind))
            value, depth = request.resource_spans[0].scope_spans[0].spans[0].attributes[0].value, 0
            while value.WhichOneof("value"):
                value = value.array_value.values[0] if kind == "array" else value.kvlist_value.values[0].value
                depth += 1
            self.assertEqual(depth, 20)


H2SPEC = """
      × 1: Sends a frame
Failures:

  4.2. Frame Size
      × 1: Sends a frame
        -> The endpoint MUST not like it.
146 tests, 145 passed, 0 skipped, 1 failed
"""


class Peers(unittest.TestCase):
    def test_h2spec(self):
        passed = "146 tests, 146 passed, 0 skipped, 0 failed"
        h2spec.judge(146, passed)
        for cases, out in ((146, H2SPEC), (145, passed), (146, ""), (146, H2SPEC.replace("×", "x")), (146, passed.replace("0 skipped", "1 skipped"))):
            self.assertRaises(weir_process.Failure, h2spec.judge, cases, out)

    def test_jaeger(self):
        reference = sink.Store()
        reference.take("traces", "grpc", payload.message("traces", 2).SerializeToString(), {}, 0)[0].accepted = True
        scenario = types.SimpleNamespace(reference_sink=lambda: types.SimpleNamespace(store=reference))

        def wrong(change):
            found = [peers.normal(*pair) for pair in peers.sent(scenario)]
            change(found)
            return peers.compare(scenario, "generated", found)

        self.assertIsNone(wrong(lambda found: None))
        self.assertIn("1 missing", wrong(lambda found: found.pop()))
        for field in ("resource", "scope", "name", "attributes", "status", "events", "links", "start"):
            self.assertIn(f": {field} is", wrong(lambda found, field=field: found[1].update({field: None})))

    def test_loki(self):
        reference = sink.Store()
        reference.take("logs", "grpc", payload.message("logs", 2).SerializeToString(), {}, 0)[0].accepted = True
        scenario = types.SimpleNamespace(reference_sink=lambda: types.SimpleNamespace(store=reference))
        want = sorted(grafana.expected(scenario, "generated", False), key=lambda e: e[1])
        self.assertEqual(want[0][0], {"service_name": "generated"})

        def wrong(change):
            found = [[dict(e[0]), e[1], e[2], dict(e[3]), "info"] for e in want]
            change(found)
            return grafana.compare(want, found)

        self.assertIsNone(wrong(lambda found: None))
        self.assertIn("1 entries, 2 were sent", wrong(lambda found: found.pop()))
        self.assertIn("labels is", wrong(lambda found: found[0][0].update({"host_name": "x"})))
        self.assertIn("line is", wrong(lambda found: found[1].__setitem__(2, "")))
        self.assertIn("severity_text", wrong(lambda found: found[1][3].pop("severity_text")))
        self.assertIn("no detected_level", wrong(lambda found: found[0].__setitem__(4, None)))
        for number, shown in ((0.1, "0.1"), (1e21, "1e+21"), (1.25e-7, "1.25e-7"), (100.0, "100"), (-2.5, "-2.5")):
            self.assertEqual(grafana._double(number), shown)

    def test_push(self):
        body = b'\x0a\x1d\x0a\x0b{a="b\\x01"}\x12\x0e\x0a\x02\x08\x05\x12\x01x\x1a\x05\x0a\x01k\x12\x00'
        for request in (loki_push.logs(body, False), loki_push.logs(b'{"streams":[{"stream":{"a":"b\\u0001"},"values":[["5000000000","x",{"k":""}]]}]}', True)):
            record = request.resource_logs[0].scope_logs[0].log_records[0]
            self.assertEqual(request.resource_logs[0].resource.attributes[0].value.string_value, "b\x01")
            self.assertEqual((record.time_unix_nano, record.body.string_value, record.attributes[0].key), (5 * 10**9, "x", "k"))
        self.assertRaises(AssertionError, loki_push.logs, b'{"streams":[{"stream":{},"values":[["5","x",{}],["4","x",{}]]}]}', True)


class Harm(unittest.TestCase):
    def segment(self, records):
        text = bytearray(b"WQSG".ljust(faults.SEGMENT_BYTES, b"\0"))
        for data in records:
            text += b"WQRE".ljust(32, b"\0") + struct.pack("<I", len(data)) + bytes(12) + data.ljust((len(data) + 7) // 8 * 8, b"\0")
        return text

    def test_damage(self):
        whole = [self.segment([b"a" * 5, b"b" * 16]), self.segment([b"c" * 9, b"d" * 20])]
        segments = copy.deepcopy(whole)
        self.assertEqual(faults.damage_segments(segments, {}), set())
        self.assertEqual(segments, whole)
        self.assertEqual(faults.damage_segments(segments, {"records": {1: "data", 2: "length"}, "cut": 4}), {1, 2, 3})
        self.assertEqual([len(s) - len(w) for s, w in zip(segments, whole)], [0, -8])  # 4 of data, and 4 of padding
        self.assertEqual([sum(a != b for a, b in zip(s, w)) for s, w in zip(segments, whole)], [1, 1])
        self.assertEqual(faults.damage_segments(copy.deepcopy(whole), {"segments": {0: "uuid"}, "tail": 9}), {0, 1})

    def test_proxy(self):
        there = sink.Sink()
        proxy = faults.Proxy(0, ("127.0.0.1", there.http_port))
        port = proxy.listener.getsockname()[1]

        def answer(timeout=5):
            client = drive.HttpClient(port, "none")
            try:
                return client.export("traces", payload.message("traces", 2, 5000).SerializeToString(), timeout).kind
            finally:
                client.close()

        self.assertEqual(answer(), "ok")
        proxy.do({"cut": 4000, "times": 1})
        self.assertEqual([answer(), answer()], ["lost", "ok"])
        self.assertEqual((proxy.counts["cuts"], there.store.counts()["attempts"]), (1, 2))
        client = drive.HttpClient(port, "none")
        self.assertEqual(client.export("traces", b"", 5).kind, "ok")
        proxy.do({"freeze": True})
        self.assertEqual(client.export("traces", b"", 0.2).kind, "lost")
        self.assertEqual((proxy.counts["frozen"], answer(), there.store.counts()["attempts"]), (1, "ok", 4))
        client.close()
        proxy.close()
        there.down()


if __name__ == "__main__":
    unittest.main(verbosity=0, argv=["selftest", "-q"])
