import createError from '@fastify/error'

/** Every error that the plugin throws on purpose. Each says what to do next. */
export const errors = {
  InvalidOption: createError<[string, string, string]>(
    'FST_DRAIN_INVALID_OPTION',
    'fastify-drain: option "%s" is %s; allowed: %s', 500, TypeError),
  UnknownOption: createError<[string, string]>(
    'FST_DRAIN_UNKNOWN_OPTION',
    'fastify-drain: there is no option "%s"; %s', 500, TypeError),
  ImpossibleTimes: createError<[string, string, string, string]>(
    'FST_DRAIN_IMPOSSIBLE_TIMES',
    'fastify-drain: option "%s" is %s, which leaves no time to drain before "hardStopAfter" (%s); allowed: %s', 500, RangeError),
  TooLate: createError<[string, string, string, string, string, string]>(
    'FST_DRAIN_IMPOSSIBLE_TIMES',
    'fastify-drain: option "hardStopAfter" is %s: with %s for onClose hooks behind it a drain ends %s too late, because the pod is killed after terminationGracePeriodSeconds (%s); set hardStopAfter to at most %s, or terminationGracePeriodSeconds to at least %s, and leave room for a preStop hook, which counts as well', 500, RangeError),
  InvalidEnvironment: createError<[string, string, string]>(
    'FST_DRAIN_INVALID_ENVIRONMENT',
    'fastify-drain: environment variable "%s" is %s; allowed: %s', 500, TypeError),
  NodeVersion: createError<[string, string]>(
    'FST_DRAIN_NODE_VERSION',
    'fastify-drain: needs Node.js %s or later, and this is %s: without that SIGTERM would end the process, and nothing would be drained; update Node.js'),
  HealthRoute: createError<[string, string, string, string]>(
    'FST_DRAIN_HEALTH_ROUTE',
    'fastify-drain: option "health.%s" is \'%s\', and the app has a route of its own there (%s); give one of them another path, or set "health.%s" to false'),
  NotAtRoot: createError<[]>(
    'FST_DRAIN_NOT_AT_ROOT',
    'fastify-drain: must be registered at the root instance, because connections belong to the server and not to a part of it; call app.register(drain) on the instance that Fastify() returned, or wrap the plugin around it with fastify-plugin'),
  AlreadyRegistered: createError<[]>(
    'FST_DRAIN_ALREADY_REGISTERED',
    'fastify-drain: app.drain exists already; register the plugin once, at the root instance'),
  InvalidCloser: createError<[string]>(
    'FST_DRAIN_INVALID_CLOSER',
    'fastify-drain: onUpgradeClose(socket, fn) needs %s', 500, TypeError),
  Closing: createError<[]>(
    'FST_DRAIN_CLOSING',
    'fastify-drain: listen() was refused, because the app is closing or closed; make a new Fastify instance to listen again'),
  ReusePort: createError<[string]>(
    'FST_DRAIN_REUSE_PORT',
    'fastify-drain: reusePort is set, but %s has no port to share; listen on a host and port, or leave reusePort out'),
  Inherited: createError<[string, string]>(
    'FST_DRAIN_INHERITED',
    'fastify-drain: %s; %s', 500, TypeError),
  HandoverImpossible: createError<[string]>(
    'FST_DRAIN_HANDOVER_IMPOSSIBLE',
    'fastify-drain: option "handover" cannot be used here: %s', 500, TypeError),
  Handover: createError<[string, string]>(
    'FST_DRAIN_HANDOVER',
    'fastify-drain: no handover: %s; %s'),
  MissingPeer: createError<[string, string, string]>(
    'FST_DRAIN_MISSING_PEER',
    'fastify-drain: %s needs a package that cannot be loaded (%s); run `npm install %s`'),
  NotRegistered: createError<[string]>(
    'FST_DRAIN_NOT_REGISTERED',
    'fastify-drain: %s needs app.drain; register the plugin fastify-drain on this app before it'),
  Metrics: createError<[string, string]>(
    'FST_DRAIN_METRICS',
    'fastify-drain: %s; %s'),
  SystemCall: createError<[string, string]>(
    'FST_DRAIN_SYSTEM_CALL',
    'fastify-drain: %s failed: %s'),
  Draining: createError<[string]>(
    'FST_DRAIN_DRAINING',
    'fastify-drain: the server is draining (%s); end what you are doing soon', 503)
}
