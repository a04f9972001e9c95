/* The mapping from OTLP to Prometheus: each rule of the compatibility specification, and what the Collector (v0.161) makes of the same input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugins/kit/prom.h"
#include "tests/unit/support/metrics.h"

/* --- a walk as text: one line for each call --------------------------------------------------------------------------------------- */

static char out[65536];
static size_t n_out;

static void say(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  n_out += (size_t)vsnprintf(out + n_out, sizeof out - n_out, fmt, ap);
  va_end(ap);
  assert_true(n_out < sizeof out);
}

static void say_labels(const struct prom_label *l, size_t n) {
  for (size_t i = 0; i < n; i++) {
    say("%s%.*s=%.*s", i ? "," : "{", (int)l[i].name.n, l[i].name.p, (int)l[i].value.n, l[i].value.p);
    if (i) assert_true(strncmp(l[i - 1].name.p, l[i].name.p, l[i - 1].name.n < l[i].name.n ? l[i - 1].name.n : l[i].name.n) <= 0);
    assert_true(l[i].value.n > 0);
  }
  say(n ? "}\n" : "\n");
}

static void on_point(void *arg, const struct prom_family *f, const struct prom_label *l, size_t n, const struct weir_metric *m, const struct weir_point *pt) {
  (void)arg;
  assert_ptr_equal(f->metric, m);
  say("%s %.*s", f->type == PROM_NATIVE_HISTOGRAM ? "native" : prom_type_name(f->type), (int)f->name.n, f->name.p);
  if (f->unit.n) say(" [%.*s]", (int)f->unit.n, f->unit.p);
  if (f->help.n) say(" (%.*s)", (int)f->help.n, f->help.p);
  if (prom_is_stale(pt)) say(" stale");
  say_labels(l, n);
}

static void on_target(void *arg, const struct prom_target *t) {
  (void)arg;
  say("%s %.*s +%zu %d%d", prom_type_name(t->family->type), (int)t->family->name.n, t->family->name.p, t->n_other, t->has_job, t->has_instance);
  say_labels(t->labels, t->n_labels);
}

static void on_dropped(void *arg, const struct weir_metric *m, uint64_t items, const char *reason) {
  (void)arg;
  say("dropped %.*s %d %s\n", m->name.n > 40 ? 40 : (int)m->name.n, m->name.p, (int)items, reason);
}

static const struct prom_visitor visitor = { NULL, on_point, on_target, on_dropped };

/* JSON with ' for ". */
static char *quoted(const char *text) {
  char *s = strdup(text);
  for (char *c = s; *c; c++)
    if (*c == '\'') *c = '"';
  return s;
}

static void walk(const struct prom_options *o, const char *json) {
  struct prom *p;
  struct weir_error err = { 0 };
  struct metrics m;
  char *text = quoted(json);
  metrics_read(&m, text);
  if (prom_new(o, "const_labels", &p, &err)) fail_msg("%s", err.msg);
  n_out = 0;
  out[0] = 0;
  prom_walk(p, &m.data, &visitor);
  char *first = strdup(out);
  n_out = 0;
  prom_walk(p, &m.data, &visitor); /* caches and scratch change nothing */
  assert_string_equal(out, first);
  free(first);
  prom_free(p);
  metrics_done(&m);
  free(text);
}

#define DEFAULTS .add_metric_suffixes = 1, .scope_labels = 1, .keep_delta = 1
static const struct prom_options defaults = { DEFAULTS };

static void expect(const struct prom_options *o, const char *json, const char *want) {
  walk(o, json);
  if (strcmp(out, want)) fail_msg("got:\n%swanted:\n%sfor: %s", out, want, json);
}

/* A resource without attributes, a scope without name. */
static const char *in_scope(const char *metrics) {
  static char buf[16384];
  snprintf(buf, sizeof buf, "{'resourceMetrics':[{'scopeMetrics':[{'metrics':[%s]}]}]}", metrics);
  return buf;
}

static const char *point_of(const char *name, const char *unit, const char *kind, const char *attrs) {
  static char buf[8192];
  const char *data = strcmp(kind, "gauge") == 0     ? "'gauge':{'dataPoints':[{'timeUnixNano':'5','asDouble':1,'attributes':[%s]}]}"
                     : strcmp(kind, "counter") == 0 ? "'sum':{'aggregationTemporality':2,'isMonotonic':true,'dataPoints':[{'asDouble':1,'attributes':[%s]}]}"
                     : strcmp(kind, "updown") == 0  ? "'sum':{'aggregationTemporality':2,'dataPoints':[{'asDouble':1,'attributes':[%s]}]}"
                     : strcmp(kind, "histogram") == 0
                       ? "'histogram':{'aggregationTemporality':2,'dataPoints':[{'count':'3','sum':4,'bucketCounts':['1','2'],'explicitBounds':[1],'attributes':[%s]}]}"
                       : "'summary':{'dataPoints':[{'count':'3','sum':4,'attributes':[%s]}]}";
  int n = snprintf(buf, sizeof buf, "{'name':'%s','unit':'%s',", name, unit);
  n += snprintf(buf + n, sizeof buf - (size_t)n, data, attrs);
  snprintf(buf + n, sizeof buf - (size_t)n, "}");
  return in_scope(buf);
}

/* --- names: "OTLP Metric points to Prometheus", "Metric Metadata"; values as the Collector gave them --------------------------------- */

static const struct {
  const char *name, *unit, *kind, *want, *want_utf8;
} names[] = {
  { "a.b", "By", "counter", "counter a_b_bytes_total [bytes]", "counter a.b_bytes_total [bytes]" },
  { "c__d", "s", "counter", "counter c_d_seconds_total [seconds]", "counter c__d_seconds_total [seconds]" },
  { "total.things", "1", "counter", "counter things_total", "counter total.things_total" },
  { "req", "{req}/s", "counter", "counter req_per_second_total [per_second]", "counter req_per_second_total [per_second]" },
  { "x", "TiBy", "counter", "counter x_tibibytes_total [tibibytes]", "counter x_tibibytes_total [tibibytes]" },
  { "x", "KBy", "counter", "counter x_kilobytes_total [kilobytes]", "counter x_kilobytes_total [kilobytes]" },
  { "x", "kBy", "counter", "counter x_kBy_total [kBy]", "counter x_kBy_total [kBy]" },
  { "y", "By/s", "counter", "counter y_bytes_per_second_total [bytes_per_second]", "counter y_bytes_per_second_total [bytes_per_second]" },
  { "z_total", "m/s", "counter", "counter z_meters_per_second_total [meters_per_second]", "counter z_meters_per_second_total [meters_per_second]" },
  { "9lives", "", "counter", "counter _9lives_total", "counter 9lives_total" },
  { "nm", "1", "updown", "gauge nm", "gauge nm" },
  { "ratio", "1", "gauge", "gauge ratio [ratio]", "gauge ratio_ratio [ratio]" },
  { "cpu.ratio", "1", "gauge", "gauge cpu_ratio [ratio]", "gauge cpu_ratio [ratio]" },
  { "g1", "%", "gauge", "gauge g1_percent [percent]", "gauge g1_percent [percent]" },
  { "temp\xc3\xa9", "Cel", "gauge", "gauge temp_celsius [celsius]", "gauge temp\xc3\xa9_celsius [celsius]" },
  { "colon:x", "", "gauge", "gauge colon:x", "gauge colon:x" },
  { "lead._", "", "gauge", "gauge lead", "gauge lead._" },
  { "_lead", "", "gauge", "gauge lead", "gauge _lead" },
  { "h", "ms", "histogram", "histogram h_milliseconds [milliseconds]", "histogram h_milliseconds [milliseconds]" },
  { "duration.seconds", "s", "histogram", "histogram duration_seconds [seconds]", "histogram duration.seconds [seconds]" },
  { "a_seconds_x", "s", "summary", "summary a_seconds_x [seconds]", "summary a_seconds_x_seconds [seconds]" },
  { "u0", "/s", "gauge", "gauge u0_per_second [per_second]", "gauge u0_per_second [per_second]" },
  { "u1", "1/s", "gauge", "gauge u1_per_second [per_second]", "gauge u1_per_second [per_second]" },
  { "u2", "{a}/{b}", "gauge", "gauge u2", "gauge u2" },
  { "u3", "foo bar", "gauge", "gauge u3_foo_bar [foo_bar]", "gauge u3_foo bar [foo bar]" },
  { "u4", "m/m", "gauge", "gauge u4_meters_per_minute [meters_per_minute]", "gauge u4_meters_per_minute [meters_per_minute]" },
  { "u5", "a/b/c", "gauge", "gauge u5_a_per_b_c [a_per_b_c]", "gauge u5_a_per_b/c [a_per_b/c]" },
  { "u6", "__u__", "gauge", "gauge u6_u_ [u_]", "gauge u6___u__ [__u__]" },
  { "u7", "w/w", "gauge", "gauge u7_w_per_week [w_per_week]", "gauge u7_w_per_week [w_per_week]" },
  { "u8", "%/d", "gauge", "gauge u8_percent_per_day [percent_per_day]", "gauge u8_percent_per_day [percent_per_day]" },
  { "u9", "x/mo", "gauge", "gauge u9_x_per_month [x_per_month]", "gauge u9_x_per_month [x_per_month]" },
  { "a.total.b.seconds", "s/s", "counter", "counter a_b_seconds_per_second_total [seconds_per_second]", "counter a.total.b.seconds_per_second_total [seconds_per_second]" },
  { "x_per_second", "s/s", "counter", "counter x_per_second_seconds_per_second_total [seconds_per_second]", "counter x_seconds_per_second_total [seconds_per_second]" },
  { "total", "", "counter", "counter total", "counter total_total" },
  { "___", "s", "counter", "counter seconds_total [seconds]", "counter ____seconds_total [seconds]" },
};

static void metric_names(void **state) {
  (void)state;
  const struct prom_options utf8 = { DEFAULTS, .utf8_names = 1 };
  char want[256];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(want, sizeof want, "%s\n", names[i].want);
    expect(&defaults, point_of(names[i].name, names[i].unit, names[i].kind, ""), want);
    snprintf(want, sizeof want, "%s\n", names[i].want_utf8);
    expect(&utf8, point_of(names[i].name, names[i].unit, names[i].kind, ""), want);
  }
}

static void names_without_suffixes(void **state) {
  (void)state;
  const struct prom_options plain = { .scope_labels = 1 }, space = { DEFAULTS, .name_space = weir_str_of("ns.x") }, both = { .name_space = weir_str_of("ns") };
  const struct prom_options as_is = { .utf8_names = 1 };
  expect(&plain, point_of("a.b-c__d", "s", "counter", ""), "counter a_b_c__d [seconds]\n");
  expect(&plain, point_of("..9a..b..", "", "gauge", ""), "gauge _9a_b\n");
  expect(&space, point_of("9a", "s", "counter", ""), "counter ns_x_9a_seconds_total [seconds]\n");
  expect(&both, point_of("9a", "s", "counter", ""), "counter ns_9a [seconds]\n");
  expect(&as_is, point_of("a b.c", "s", "counter", ""), "counter a b.c [seconds]\n");
}

static void names_that_are_none(void **state) {
  (void)state;
  char *name = malloc(5000), *text = malloc(6000);
  memset(name, 'n', 4999);
  name[4999] = 0;
  expect(&defaults, point_of("", "s", "gauge", ""), "dropped  1 name\n");
  expect(&defaults, point_of("...", "", "gauge", ""), "dropped ... 1 name\n");
  expect(&defaults, point_of("___", "", "gauge", ""), "dropped ___ 1 name\n");
  snprintf(text, 6000, "{'resourceMetrics':[{'scopeMetrics':[{'metrics':[{'name':'%s','gauge':{'dataPoints':[{'asInt':'1'}]}}]}]}]}", name);
  expect(&defaults, text, "dropped nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn 1 name\n");
  free(name);
  free(text);
}

/* --- types: "Gauges", "Sums", "Histograms", "Exponential Histograms", "Summaries" ------------------------------------------------------ */

#define TYPED(meta, data) "{'name':'m','metadata':[" meta "]," data "}"
#define HINT(t) "{'key':'prometheus.type','value':{'stringValue':'" t "'}}"
#define SUM(temporality, monotonic) "'sum':{'aggregationTemporality':" #temporality ",'isMonotonic':" #monotonic ",'dataPoints':[{'asInt':'1'},{'asInt':'2','attributes':[{'key':'a','value':{'stringValue':'b'}}]}]}"

static void types(void **state) {
  (void)state;
  const struct prom_options no_delta = { .add_metric_suffixes = 1 };
  static const struct {
    const char *metric, *want;
  } cases[] = {
    { TYPED("", "'gauge':{'dataPoints':[{'asInt':'1'}]}"), "gauge m\n" },
    { TYPED(HINT("unknown"), "'gauge':{'dataPoints':[{'asInt':'1'}]}"), "unknown m\n" },
    { TYPED(HINT("counter"), "'gauge':{'dataPoints':[{'asInt':'1'}]}"), "gauge m\n" },
    { TYPED("", SUM(2, true)), "counter m_total\ncounter m_total{a=b}\n" },
    { TYPED("", SUM(2, false)), "gauge m\ngauge m{a=b}\n" },
    { TYPED(HINT("info"), SUM(2, false)), "info m\ninfo m{a=b}\n" },
    { TYPED(HINT("stateset"), SUM(2, false)), "stateset m\nstateset m{a=b}\n" },
    { TYPED("", SUM(1, false)), "dropped m 2 delta_non_monotonic\n" },
    { TYPED("", SUM(0, true)), "dropped m 2 temporality\n" },
    { TYPED("", "'exponentialHistogram':{'aggregationTemporality':2,'dataPoints':[{'count':'1'}]}"), "native m\n" },
    { TYPED("", "'exponentialHistogram':{'dataPoints':[{'count':'1'}]}"), "dropped m 1 temporality\n" },
    { TYPED("", "'summary':{'dataPoints':[{'count':'1'}]}"), "summary m\n" },
    { TYPED("", "'description':'x'"), "" },
    { TYPED("", "'gauge':{'dataPoints':[{'timeUnixNano':'1'},{'timeUnixNano':'1','flags':1}]}"), "dropped m 1 no_value\ngauge m stale\n" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect(&defaults, in_scope(cases[i].metric), cases[i].want);
  expect(&defaults, in_scope(TYPED("", SUM(1, true))), "counter m_total\ncounter m_total{a=b}\n");
  expect(&no_delta, in_scope(TYPED("", SUM(1, true))), "dropped m 2 delta\n");
  expect(&defaults, in_scope("{'name':'m','description':'what it is','gauge':{'dataPoints':[{'asInt':'1'}]}}"), "gauge m (what it is)\n");
}

static void histograms_that_fit_nowhere(void **state) {
  (void)state;
#define H(buckets, bounds) in_scope("{'name':'m','histogram':{'aggregationTemporality':2,'dataPoints':[{'count':'3','bucketCounts':" buckets ",'explicitBounds':" bounds "}]}}")
  expect(&defaults, H("['1','2']", "[1]"), "histogram m\n");
  expect(&defaults, H("[]", "[]"), "histogram m\n");
  expect(&defaults, H("['3']", "[]"), "histogram m\n");
  expect(&defaults, H("['1']", "[1]"), "dropped m 1 histogram_bounds\n");
  expect(&defaults, H("['1','2','3']", "[1]"), "dropped m 1 histogram_bounds\n");
  expect(&defaults, H("['1','1','1']", "[2,1]"), "dropped m 1 histogram_bounds\n");
  expect(&defaults, H("['1','1','1']", "[1,1]"), "dropped m 1 histogram_bounds\n");
  expect(&defaults, H("['1','1']", "['NaN']"), "dropped m 1 histogram_bounds\n");
  expect(&defaults, H("['1','1']", "['Infinity']"), "histogram m\n");
}

/* --- labels: "Metric Attributes" ---------------------------------------------------------------------------------------------------- */

#define S(k, v) "{'key':'" k "','value':{'stringValue':'" v "'}}"
#define V(k, v) "{'key':'" k "','value':" v "}"

static const struct {
  const char *attrs, *want, *want_utf8; /* NULL: as want */
} labels[] = {
  { S("a.b", "1"), "{a_b=1}", "{a.b=1}" },
  { S("_x", "1"), "{key_x=1}", "{_x=1}" },
  { S("__y", "1"), "{key_y=1}", "{key__y=1}" },
  { S("9z", "1"), "{key_9z=1}", "{9z=1}" },
  { S("\xc3\xa9", "1"), "{key_=1}", "{\xc3\xa9=1}" },
  { S("c..d", "1"), "{c_d=1}", "{c..d=1}" },
  { S("e__f", "1"), "{e_f=1}", "{e__f=1}" },
  { S("a..", "1"), "{a_=1}", "{a..=1}" },
  { S("---", "1"), "{key_=1}", "{---=1}" },
  { S("a:b", "1"), "{a_b=1}", "{a:b=1}" },
  { S("KEY", "1"), "{KEY=1}", NULL },
  { S("__name__", "1"), "{key_name_=1}", "{key__name__=1}" }, /* the Collector drops the whole metric */
  { S("b", "1") "," S("a", "2"), "{a=2,b=1}", NULL },
  { S("empty", "") "," S("a", "2"), "{a=2}", NULL },
  { S("a.b", "1") "," S("a-b", "2") "," S("a_b", "3"), "{a_b=2;1;3}", "{a-b=2,a.b=1,a_b=3}" }, /* joined in the order of the keys */
  { S("a", "1") "," S("a", "2"), "{a=1}", NULL },
  { V("i", "{'intValue':'-5'}"), "{i=-5}", NULL },
  { V("b", "{'boolValue':true}"), "{b=true}", NULL },
  { V("d", "{'doubleValue':1.5}"), "{d=1.5}", NULL },
  { V("d", "{'doubleValue':5}"), "{d=5}", NULL },
  { V("d", "{'doubleValue':1e21}"), "{d=1e+21}", NULL },
  { V("d", "{'doubleValue':1e-7}"), "{d=1e-7}", NULL },
  { V("d", "{'doubleValue':123456789.25}"), "{d=123456789.25}", NULL },
  { V("x", "{'bytesValue':'AQID'}"), "{x=AQID}", NULL },
  { V("x", "{}") "," S("a", "1"), "{a=1}", NULL },
  { V("x", "{'arrayValue':{'values':[{'stringValue':'x<'},{'intValue':'1'},{'doubleValue':2.0},{'boolValue':true},{'bytesValue':'AQI='},{}]}}"), "{x=[\"x<\",1,2,true,\"AQI=\",null]}", NULL },
  { V("x", "{'kvlistValue':{'values':[{'key':'z','value':{'stringValue':'1'}},{'key':'a','value':{'doubleValue':0.1}}]}}"), "{x={\"a\":0.1,\"z\":\"1\"}}", NULL },
};

static void label_names_and_values(void **state) {
  (void)state;
  const struct prom_options utf8 = { DEFAULTS, .utf8_names = 1 };
  char want[256];
  for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
    snprintf(want, sizeof want, "gauge m%s\n", labels[i].want);
    expect(&defaults, point_of("m", "", "gauge", labels[i].attrs), want);
    snprintf(want, sizeof want, "gauge m%s\n", labels[i].want_utf8 ? labels[i].want_utf8 : labels[i].want);
    expect(&utf8, point_of("m", "", "gauge", labels[i].attrs), want);
  }
  expect(&defaults, point_of("m", "", "gauge", S("", "1")), "dropped m 1 name\n");
  expect(&defaults, point_of("m", "", "histogram", S("le", "1") "," S("a", "1")), "histogram m{a=1}\n");
  expect(&defaults, point_of("m", "", "summary", S("quantile", "1") "," S("le", "1")), "summary m{le=1}\n");
}

static void labels_over_the_limit(void **state) {
  (void)state;
  const struct prom_options small = { DEFAULTS, .max_label_bytes = 20 };
  expect(&small, point_of("m", "", "gauge", S("a", "0123456789012345678")), "gauge m{a=0123456789012345678}\n");
  expect(&small, point_of("m", "", "gauge", S("a", "01234567890123456789")), "dropped m 1 label_bytes\n");
  expect(&small, point_of("m", "", "gauge", S("a123456789", "0123456789") "," S("b", "")), "dropped m 1 label_bytes\n");
  expect(&small, point_of("m", "", "gauge", S("a1234567890123456789", "")), "gauge m\n");
  expect(&small, point_of("m", "", "gauge", V("a", "{'arrayValue':{'values':[{'stringValue':'0123456789'},{'stringValue':'0123456789'}]}}")), "dropped m 1 label_bytes\n");
}

/* --- "Resource Attributes", "Instrumentation Scope", constant labels --------------------------------------------------------------------- */

static const char *in_resource(const char *resource, const char *scope, const char *attrs) {
  static char buf[4096];
  snprintf(buf, sizeof buf,
    "{'resourceMetrics':[{'resource':{'attributes':[%s]},'scopeMetrics':[{%s'metrics':[{'name':'m','gauge':{'dataPoints':[{'timeUnixNano':'7','asInt':'1','attributes':[%s]}]}}]}]}]}",
    resource, scope, attrs);
  return buf;
}

static void job_and_instance(void **state) {
  (void)state;
  expect(&defaults, in_resource(S("service.name", "svc") "," S("service.namespace", "ns") "," S("service.instance.id", "i1") "," S("host.name", "h"), "", ""),
    "gauge m{instance=i1,job=ns/svc}\ninfo target_info +1 11{host_name=h,instance=i1,job=ns/svc}\n");
  expect(&defaults, in_resource(S("service.name", "svc") "," S("service.namespace", ""), "", ""), "gauge m{job=svc}\ninfo target_info +0 10{job=svc}\n");
  expect(&defaults, in_resource(S("service.instance.id", "i1"), "", ""), "gauge m{instance=i1}\ninfo target_info +0 01{instance=i1}\n");
  expect(&defaults, in_resource(S("service.namespace", "ns"), "", ""), "gauge m\n");
  expect(&defaults, in_resource(S("host.name", "h"), "", ""), "gauge m\n");
  /* what identifies the target ranks above attributes of a point, and of the resource */
  expect(&defaults, in_resource(S("service.name", "svc") "," S("job", "other"), "", S("job", "mine") "," S("instance", "x")),
    "gauge m{instance=x,job=svc}\ninfo target_info +0 10{job=svc}\n");
  expect(&defaults, in_resource(S("service.name", "svc") "," S("host.name", "h") "," S("host_name", "h2"), "", ""),
    "gauge m{job=svc}\ninfo target_info +1 10{host_name=h;h2,job=svc}\n");
}

static void resource_attributes_as_labels(void **state) {
  (void)state;
  static const char *const all[] = { "*" }, *const some[] = { "host*", "x" }, *const not_these[] = { "*.id", "service.*" };
  const struct prom_options o_all = { DEFAULTS, .resource_included = { all, 1 } }, o_some = { DEFAULTS, .resource_included = { some, 2 } };
  const struct prom_options o_not = { DEFAULTS, .resource_excluded = { not_these, 2 } }, o_both = { DEFAULTS, .resource_included = { some, 2 }, .resource_excluded = { not_these, 2 } };
#define RES S("service.name", "s") "," S("host.name", "h") "," S("host.id", "i") "," S("x", "1") "," S("xy", "2")
  expect(&o_all, in_resource(RES, "", ""), "gauge m{host_id=i,host_name=h,job=s,service_name=s,x=1,xy=2}\ninfo target_info +4 10{host_id=i,host_name=h,job=s,x=1,xy=2}\n");
  expect(&o_some, in_resource(RES, "", ""), "gauge m{host_id=i,host_name=h,job=s,x=1}\ninfo target_info +4 10{host_id=i,host_name=h,job=s,x=1,xy=2}\n");
  expect(&o_not, in_resource(RES, "", ""), "gauge m{host_name=h,job=s,x=1,xy=2}\ninfo target_info +4 10{host_id=i,host_name=h,job=s,x=1,xy=2}\n");
  expect(&o_both, in_resource(RES, "", ""), "gauge m{host_name=h,job=s,x=1}\ninfo target_info +4 10{host_id=i,host_name=h,job=s,x=1,xy=2}\n");
  /* the resource's value wins a key, different keys of one name are joined */
  expect(&o_all, in_resource(S("k", "resource") "," S("a.b", "1"), "", S("k", "point") "," S("a_b", "2")), "gauge m{a_b=1;2,k=resource}\n");
}

static void scopes(void **state) {
  (void)state;
  const struct prom_options without = { .add_metric_suffixes = 1 };
  const char *scope = "'scope':{'name':'sc','version':'1.0','attributes':[" S("s.a", "q") "," S("name", "clash") "," S("s-a", "p") "]},'schemaUrl':'http://s',";
  expect(&defaults, in_resource("", scope, S("otel_scope_name", "mine")), "gauge m{otel_scope_name=sc,otel_scope_s_a=p;q,otel_scope_schema_url=http://s,otel_scope_version=1.0}\n");
  expect(&without, in_resource("", scope, S("otel_scope_name", "mine")), "gauge m{otel_scope_name=mine}\n");
}

static void constant_labels(void **state) {
  (void)state;
  static const struct weir_map_entry entries[] = { { "k.1", "v" }, { "job", "low" }, { "zz", "" } }, bad[] = { { "", "v" } };
  const struct prom_options o = { DEFAULTS, .constant = { entries, 3 } }, wrong = { DEFAULTS, .constant = { bad, 1 } };
  struct weir_error err = { 0 };
  struct prom *p;
  expect(&o, in_resource("", "", ""), "gauge m{job=low,k_1=v}\n");
  expect(&o, in_resource(S("service.name", "s"), "", S("k_1", "mine")), "gauge m{job=s,k_1=mine}\ninfo target_info +0 10{job=s}\n");
  assert_int_equal(prom_new(&wrong, "const_labels", &p, &err), WEIR_E_CONFIG);
  assert_string_equal(err.field, "const_labels");
}

/* Bytes that are no UTF-8, which JSON can not carry. */
static void damaged_text(void **state) {
  (void)state;
  struct prom *p;
  struct weir_error err = { 0 };
  struct weir_attr attrs[] = { { .key = weir_str_of("a\xff"), .value = weir_value_str("v\x80w", 3) }, { .key = { "n", 1, 0 }, .value = weir_value_str("x\0y", 3) } };
  struct weir_number_point pt = { .pt = { .rec = { .attrs = attrs, .n_attrs = 2 } }, .value = weir_value_int(1) }, *points = &pt;
  struct weir_metric m = { .name = weir_str_of("m\xc0m"), .description = weir_str_of("\xed\xa0\x80"), .type = WEIR_M_GAUGE, .n_points = 1, .points.number = &points }, *metrics = &m;
  struct weir_scope s = { .n_records = 1, .u.metrics = &metrics }, *scope_v = &s;
  struct weir_resource r = { .n_scopes = 1, .scopes = &scope_v }, *resources = &r;
  struct weir_data data = { .signal = WEIR_METRICS, .n_resources = 1, .resources = &resources };
  const struct prom_options utf8 = { DEFAULTS, .utf8_names = 1 };
  const struct prom_options *const both[] = { &defaults, &utf8 };
#define FFFD "\xef\xbf\xbd"
  const char *const want[] = { "gauge m_m (" FFFD FFFD FFFD "){a_=v" FFFD "w,n=x", "gauge m" FFFD "m (" FFFD FFFD FFFD "){a" FFFD "=v" FFFD "w,n=x" };
  for (int i = 0; i < 2; i++) {
    assert_int_equal(prom_new(both[i], "", &p, &err), 0);
    n_out = 0;
    prom_walk(p, &data, &visitor);
    assert_memory_equal(out, want[i], strlen(want[i])); /* the NUL is kept; printf stops there */
    prom_free(p);
  }
}

static void many_attributes(void **state) {
  (void)state;
  char attrs[8192] = "";
  for (int i = 99; i >= 0; i--) snprintf(attrs + strlen(attrs), sizeof attrs - strlen(attrs), "%s{'key':'k%02d','value':{'intValue':'%d'}}", i == 99 ? "" : ",", i, i);
  walk(&defaults, point_of("m", "", "gauge", attrs));
  assert_non_null(strstr(out, "{k00=0,k01=1,k02=2,"));
  assert_non_null(strstr(out, ",k98=98,k99=99}"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(metric_names),
    cmocka_unit_test(names_without_suffixes),
    cmocka_unit_test(names_that_are_none),
    cmocka_unit_test(types),
    cmocka_unit_test(histograms_that_fit_nowhere),
    cmocka_unit_test(label_names_and_values),
    cmocka_unit_test(labels_over_the_limit),
    cmocka_unit_test(job_and_instance),
    cmocka_unit_test(resource_attributes_as_labels),
    cmocka_unit_test(scopes),
    cmocka_unit_test(constant_labels),
    cmocka_unit_test(damaged_text),
    cmocka_unit_test(many_attributes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
