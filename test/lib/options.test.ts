import t from 'tap'
import { inspect } from 'node:util'
import { rules } from '../../lib/option-rules.ts'
import { kubernetesShutdownDelay, resolveOptions, type FastifyDrainOptions, type KeepAlive } from '../../lib/options.ts'

const defaults = {
  signals: ['SIGTERM', 'SIGINT'],
  shutdownDelay: 0,
  idleGrace: 1000,
  closeSpread: 0,
  peerCloseTimeout: 250,
  lingerTimeout: 2000,
  lingerTime: 5000,
  hardStopAfter: 25000,
  hardStop: 'destroy',
  keepAlive: { idle: 60000, interval: 10000, count: 6 },
  reusePort: false,
  listenFdName: false,
  handover: false,
  health: false,
  behind: false,
  terminationGracePeriodSeconds: false,
  maxConnectionAge: false,
  maxRequestsPerConnection: false,
  report: false
}

const times = ['shutdownDelay', 'idleGrace', 'closeSpread', 'peerCloseTimeout', 'lingerTimeout', 'lingerTime'] as const
const longest = 2147483647

const notMilliseconds: Array<[unknown, string]> = [
  [null, 'null'],
  ['1000', "'1000'"],
  ['', "''"],
  [true, 'true'],
  [{}, '{}'],
  [[1000], '[ 1000 ]'],
  [10n, '10n'],
  [NaN, 'NaN'],
  [Infinity, 'Infinity'],
  [-Infinity, '-Infinity'],
  [-1, '-1'],
  [0.5, '0.5'],
  [longest + 1, '2147483648'],
  [Number.MAX_SAFE_INTEGER, '9007199254740991']
]

function resolve (given: object, env: NodeJS.ProcessEnv = {}) {
  return resolveOptions(given as FastifyDrainOptions, env)
}

/** Whatever prototype the settings have. */
function plain (settings: unknown): unknown {
  return structuredClone(settings)
}

function thrownFor (given: object): unknown {
  try { return resolve(given) } catch (error) { return error }
}

t.test('without options every default of the contract applies', async t => {
  t.strictSame(plain(resolve({})), defaults)
  t.same(Object.keys(rules), Object.keys(defaults))
})

t.test('undefined is the same as not given', async t => {
  t.strictSame(plain(resolve(Object.fromEntries(Object.keys(defaults).map(name => [name, undefined])))), defaults)
})

t.test('what is given wins over the default, zero and false included', async t => {
  const given = {
    signals: false,
    shutdownDelay: 1,
    idleGrace: 0,
    closeSpread: 3,
    peerCloseTimeout: 0,
    lingerTimeout: 0,
    lingerTime: longest,
    hardStopAfter: false,
    hardStop: 'reset',
    keepAlive: { idle: 1000, interval: 32_767_000, count: 127, userTimeout: 1 },
    reusePort: true,
    listenFdName: 'web',
    handover: { signal: false, readyTimeout: 1 },
    health: { readiness: '/ready', liveness: false },
    behind: 1,
    terminationGracePeriodSeconds: 1, // nothing that could be too late: there is no deadline
    maxConnectionAge: 1000,
    maxRequestsPerConnection: 1,
    report: { file: 'drain.json' }
  }
  t.strictSame(plain(resolve(given)), given)
})

for (const name of times) {
  t.test(`${name} takes whole milliseconds, and nothing else`, async t => {
    t.equal(resolve({ [name]: 0 })[name], 0)
    t.equal(resolve({ [name]: longest, hardStopAfter: false })[name], longest)
    for (const [value, shown] of [...notMilliseconds, [false, 'false'] as const]) {
      t.throws(() => resolve({ [name]: value }), {
        code: 'FST_DRAIN_INVALID_OPTION',
        message: `fastify-drain: option "${name}" is ${shown}; allowed: a whole number of milliseconds from 0 to 2147483647`
      }, shown)
    }
  })
}

t.test('hardStopAfter takes false or whole milliseconds above zero', async t => {
  t.equal(resolve({ hardStopAfter: false }).hardStopAfter, false)
  t.equal(resolve({ hardStopAfter: 1 }).hardStopAfter, 1)
  t.equal(resolve({ hardStopAfter: longest }).hardStopAfter, longest)
  for (const [value, shown] of [...notMilliseconds, [0, '0'] as const]) {
    t.throws(() => resolve({ hardStopAfter: value }), {
      code: 'FST_DRAIN_INVALID_OPTION',
      message: `fastify-drain: option "hardStopAfter" is ${shown}; allowed: false, or a whole number of milliseconds from 1 to 2147483647`
    }, shown)
  }
})

t.test('hardStop takes two words', async t => {
  t.equal(resolve({ hardStop: 'destroy' }).hardStop, 'destroy')
  t.equal(resolve({ hardStop: 'reset' }).hardStop, 'reset')
  for (const value of ['', 'RESET', 'end', null, false, 1, NaN, ['reset'], {}]) {
    t.throws(() => resolve({ hardStop: value }), {
      code: 'FST_DRAIN_INVALID_OPTION',
      message: /^fastify-drain: option "hardStop" is .+; allowed: 'destroy' or 'reset'$/
    }, String(value))
  }
})

t.test('signals takes false or a list of different signals that a process can catch', async t => {
  t.equal(resolve({ signals: false }).signals, false)
  t.same(resolve({ signals: ['SIGHUP'] }).signals, ['SIGHUP'])
  const bad = [
    true, null, 0, NaN, '', 'SIGTERM', {}, [], [false], ['sigterm'], ['SIGKILL'], ['SIGTERM', 'SIGTERM'], ['SIGTERM', 'SIGFOO'], [15]
  ]
  for (const value of bad) {
    t.throws(() => resolve({ signals: value }), {
      code: 'FST_DRAIN_INVALID_OPTION',
      message: /^fastify-drain: option "signals" is .+; allowed: false, or a list of different signals from SIGHUP, SIGINT, .+, SIGTERM$/
    }, JSON.stringify(value))
  }
})

const seconds = 'whole seconds, in milliseconds: 1000, 2000, ... 32767000'

for (const [member, allowed, good, bad] of [
  ['idle', seconds, [1000, 2000, 32_767_000], [500, 1500, 999, 0, -1000, 1000.5, 32_768_000, '60000', NaN, Infinity, null, true, {}]],
  ['interval', seconds, [1000, 2000, 32_767_000], [NaN, 500, 1500, 0, -1000, 32_768_000, '10000', [1000]]],
  ['count', 'a whole number from 1 to 127', [1, 127], [0, 128, 1.5, -1, NaN, '6', null, false]],
  ['userTimeout', 'a whole number of milliseconds from 1 to 2147483647', [1, 1500, longest], [0, -1, 0.5, longest + 1, NaN, '1000', null, false]]
] as const) {
  t.test(`keepAlive.${member} takes ${allowed}, and nothing else`, async t => {
    for (const value of good) t.strictSame(plain(resolve({ keepAlive: { [member]: value } }).keepAlive), { ...defaults.keepAlive, [member]: value })
    for (const value of bad) {
      t.throws(() => resolve({ keepAlive: { [member]: value } }), {
        code: 'FST_DRAIN_INVALID_OPTION',
        message: `fastify-drain: option "keepAlive.${member}" is ${inspect(value)}; allowed: ${allowed}`
      }, inspect(value))
    }
  })
}

t.test('what is left out of keepAlive has its default', async t => {
  t.strictSame(plain(resolve({ keepAlive: {} }).keepAlive), defaults.keepAlive)
  t.strictSame(plain(resolve({ keepAlive: { idle: undefined, userTimeout: undefined, count: 3 } }).keepAlive), { ...defaults.keepAlive, count: 3 })
  t.strictSame(plain(resolve({ keepAlive: undefined }).keepAlive), defaults.keepAlive)
  t.equal(resolve({ keepAlive: false }).keepAlive, false)
})

t.test('keepAlive takes false or an object', async t => {
  for (const value of [true, null, 0, 60_000, NaN, '60s', [], [60_000]]) {
    t.throws(() => resolve({ keepAlive: value }), {
      code: 'FST_DRAIN_INVALID_OPTION',
      message: `fastify-drain: option "keepAlive" is ${inspect(value)}; allowed: false, or an object with idle, interval, count, userTimeout`
    }, inspect(value))
  }
})

t.test('an unknown member of keepAlive is refused with the nearest one that exists', async t => {
  for (const [name, nearest] of [['intervall', 'interval'], ['Idle', 'idle'], ['usertimeout', 'userTimeout']] as const) {
    t.throws(() => resolve({ keepAlive: { [name]: 1000 } }), {
      code: 'FST_DRAIN_UNKNOWN_OPTION',
      message: `fastify-drain: there is no option "keepAlive.${name}"; did you mean "keepAlive.${nearest}"? Known are idle, interval, count, userTimeout`
    }, name)
  }
  t.throws(() => resolve({ keepAlive: { prefix: '/api' } }), { code: 'FST_DRAIN_UNKNOWN_OPTION', message: /"keepAlive.prefix"/ }, 'that is an option of plugins')
})

t.test('the defaults cannot be changed through what was resolved', async t => {
  const { keepAlive } = resolve({})
  Object.assign(keepAlive as object, { idle: 1 })
  t.strictSame(plain(resolve({})), defaults)
})

t.test('what the user changes later in the object that was passed does not count', async t => {
  const keepAlive = { idle: 5000 }
  const settings = resolve({ keepAlive })
  keepAlive.idle = 1
  t.match(settings.keepAlive, { idle: 5000 })
})

t.test('reusePort takes true or false', async t => {
  t.equal(resolve({ reusePort: true }).reusePort, true)
  t.equal(resolve({ reusePort: false }).reusePort, false)
  for (const value of [1, 0, 'true', null, NaN, {}]) {
    t.throws(() => resolve({ reusePort: value }), {
      code: 'FST_DRAIN_INVALID_OPTION',
      message: `fastify-drain: option "reusePort" is ${inspect(value)}; allowed: true or false`
    }, inspect(value))
  }
})

t.test('listenFdName takes false or a name', async t => {
  t.equal(resolve({ listenFdName: 'web' }).listenFdName, 'web')
  t.equal(resolve({ listenFdName: false }).listenFdName, false)
  for (const value of ['', true, null, 3, NaN, ['web']]) {
    t.throws(() => resolve({ listenFdName: value }), {
      code: 'FST_DRAIN_INVALID_OPTION',
      message: `fastify-drain: option "listenFdName" is ${inspect(value)}; allowed: false, or a name`
    }, inspect(value))
  }
})

t.test('an unknown option is refused with the nearest one that exists', async t => {
  for (const [name, nearest] of [['idleGraze', 'idleGrace'], ['lingertime', 'lingerTime'], ['hardStopafter', 'hardStopAfter'], ['signal', 'signals']]) {
    t.throws(() => resolve({ [String(name)]: 1 }), {
      code: 'FST_DRAIN_UNKNOWN_OPTION',
      message: `fastify-drain: there is no option "${name}"; did you mean "${nearest}"? Known are ${Object.keys(defaults).join(', ')}`
    })
  }
})

t.test('the errors are of the classes that fit', async t => {
  t.ok(thrownFor({ hardStop: 1 }) instanceof TypeError)
  t.ok(thrownFor({ hardstop: 'reset' }) instanceof TypeError)
  t.ok(thrownFor({ shutdownDelay: 30_000 }) instanceof RangeError)
})

t.test('an unknown option is refused whatever its value', async t => {
  t.throws(() => resolve({ timeout: undefined }), { code: 'FST_DRAIN_UNKNOWN_OPTION' })
})

t.test('what Fastify reads from the options of any plugin is accepted, and ignored', async t => {
  t.strictSame(plain(resolve({ prefix: '/api', logLevel: 'warn', logSerializers: {} })), defaults)
})

t.test('a polluted prototype configures nothing', async t => {
  const prototype = Object.prototype as Record<string, unknown>
  t.teardown(() => { for (const name of ['hardStop', 'idleGrace', 'surprise']) delete prototype[name] })
  prototype['hardStop'] = 'reset'
  prototype['idleGrace'] = 'soon'
  prototype['surprise'] = true
  t.strictSame(plain(resolve({})), defaults)
})

t.test('a polluted prototype configures nothing in a nested option either', async t => {
  const prototype = Object.prototype as Record<string, unknown>
  t.teardown(() => { for (const name of ['idle', 'userTimeout', 'surprise']) delete prototype[name] })
  prototype['idle'] = 500
  prototype['userTimeout'] = 1
  prototype['surprise'] = true
  for (const given of [{}, { keepAlive: {} }, { keepAlive: undefined }]) {
    const { keepAlive } = resolve(given)
    t.same(Object.entries(keepAlive as object), Object.entries(defaults.keepAlive))
    t.equal((keepAlive as KeepAlive).userTimeout, undefined, 'as it is read later')
  }
})

t.test('a __proto__ key from JSON is refused in a nested option, too', async t => {
  t.throws(() => resolve(JSON.parse('{ "keepAlive": { "__proto__": { "idle": 1000 } } }')), {
    code: 'FST_DRAIN_UNKNOWN_OPTION',
    message: /there is no option "keepAlive.__proto__"/
  })
  t.notOk('idle' in {})
})

t.test('options that are inherited configure nothing', async t => {
  t.strictSame(plain(resolve(Object.create({ hardStop: 'reset', lingerTime: 'x' }))), defaults)
})

t.test('a polluted prototype does not take the default of Kubernetes away', async t => {
  const given = Object.create({ shutdownDelay: 1 })
  t.equal(resolve(given, { KUBERNETES_SERVICE_HOST: '10.0.0.1' }).shutdownDelay, 5000)
})

t.test('a __proto__ key from JSON is refused', async t => {
  t.throws(() => resolve(JSON.parse('{ "__proto__": { "hardStop": "reset" } }')), {
    code: 'FST_DRAIN_UNKNOWN_OPTION',
    message: /there is no option "__proto__"/
  })
})

t.test('in Kubernetes shutdownDelay is 5 s by default', async t => {
  const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1' }
  t.strictSame(plain(resolve({}, env)), { ...defaults, shutdownDelay: 5000 })
  t.equal(kubernetesShutdownDelay, 5000)
  t.equal(resolve({ shutdownDelay: undefined }, env).shutdownDelay, 5000)
  t.equal(resolve({ hardStopAfter: false }, env).shutdownDelay, 5000)
})

t.test('in Kubernetes the default takes at most half of hardStopAfter', async t => {
  const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1' }
  t.equal(resolve({ hardStopAfter: 10_000 }, env).shutdownDelay, 5000)
  t.equal(resolve({ hardStopAfter: 9999 }, env).shutdownDelay, 4999)
  t.equal(resolve({ hardStopAfter: 1 }, env).shutdownDelay, 0)
})

t.test('in Kubernetes, too, what is given wins', async t => {
  const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1' }
  t.equal(resolve({ shutdownDelay: 0 }, env).shutdownDelay, 0)
  t.equal(resolve({ shutdownDelay: 7000 }, env).shutdownDelay, 7000)
})

t.test('a shutdownDelay that leaves no time to drain is refused', async t => {
  t.equal(resolve({ shutdownDelay: 24_999 }).shutdownDelay, 24_999)
  t.equal(resolve({ shutdownDelay: 60_000, hardStopAfter: false }).shutdownDelay, 60_000)
  t.throws(() => resolve({ shutdownDelay: 25_000 }), {
    code: 'FST_DRAIN_IMPOSSIBLE_TIMES',
    message: 'fastify-drain: option "shutdownDelay" is 25000 ms, which leaves no time to drain before "hardStopAfter" (25000 ms); allowed: less than hardStopAfter'
  })
  t.throws(() => resolve({ shutdownDelay: 100, hardStopAfter: 50 }), { code: 'FST_DRAIN_IMPOSSIBLE_TIMES' })
})

t.test('a closeSpread that ends after the deadline is refused', async t => {
  t.equal(resolve({ shutdownDelay: 5000, closeSpread: 19_999 }).closeSpread, 19_999)
  t.equal(resolve({ closeSpread: 60_000, hardStopAfter: false }).closeSpread, 60_000)
  t.throws(() => resolve({ shutdownDelay: 5000, closeSpread: 20_000 }), {
    code: 'FST_DRAIN_IMPOSSIBLE_TIMES',
    message: 'fastify-drain: option "closeSpread" is 20000 ms, which leaves no time to drain before "hardStopAfter" (25000 ms); allowed: less than hardStopAfter - shutdownDelay, 20000 ms'
  })
})

t.test('handover: true stands for its defaults', async t => {
  t.strictSame(plain(resolve({ handover: true }).handover), { signal: 'SIGUSR2', readyTimeout: 30_000 })
  t.strictSame(plain(resolve({ handover: {} }).handover), { signal: 'SIGUSR2', readyTimeout: 30_000 })
  t.strictSame(plain(resolve({ handover: { signal: 'SIGHUP' } }).handover), { signal: 'SIGHUP', readyTimeout: 30_000 })
  const ready = (): void => {}
  t.match(resolve({ handover: { ready } }).handover, { ready })
})

for (const [given, code, message] of [
  [{ handover: 'SIGUSR2' }, 'FST_DRAIN_INVALID_OPTION', /"handover" is 'SIGUSR2'; allowed: true, false, or an object with signal, readyTimeout, ready/],
  [{ handover: { signal: 'SIGTERM' } }, 'FST_DRAIN_INVALID_OPTION', /"handover\.signal" is 'SIGTERM'; allowed: false, or one of SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH/],
  [{ handover: { readyTimeout: 0 } }, 'FST_DRAIN_INVALID_OPTION', /"handover\.readyTimeout" is 0; allowed: a whole number of milliseconds from 1/],
  [{ handover: { ready: true } }, 'FST_DRAIN_INVALID_OPTION', /"handover\.ready" is true; allowed: a function/],
  [{ handover: { readyTimeOut: 1 } }, 'FST_DRAIN_UNKNOWN_OPTION', /did you mean "handover\.readyTimeout"/],
  [{ signals: ['SIGUSR2'], handover: true }, 'FST_DRAIN_INVALID_OPTION', /"handover\.signal" is 'SIGUSR2', which is one of "signals" as well; allowed: a signal that does not end the process/]
] as const) {
  t.test(`refused: ${JSON.stringify(given)}`, async t => {
    t.match(thrownFor(given), { code, message })
  })
}

t.test('health takes a switch, or paths that no router takes for anything else', async t => {
  const both = { readiness: '/readyz', liveness: '/livez' }
  t.strictSame(plain(resolve({ health: true }).health), both)
  t.strictSame(plain(resolve({ health: {} }).health), both)
  t.strictSame(plain(resolve({ health: { readiness: '/' } }).health), { ...both, readiness: '/' })
  t.strictSame(plain(resolve({ health: { readiness: false, liveness: false } }).health), { readiness: false, liveness: false })
  for (const value of ['', 'readyz', '/ready?x', '/ready#x', '/:name', '/*', '/a b', '/%20', '/ü', true, null, 1]) {
    t.throws(() => resolve({ health: { readiness: value } }), {
      code: 'FST_DRAIN_INVALID_OPTION',
      message: `fastify-drain: option "health.readiness" is ${inspect(value)}; allowed: false, or a path that begins with "/" and has only letters, digits and the characters . _ ~ / - in it`
    }, inspect(value))
  }
  t.throws(() => resolve({ health: { liveness: '/readyz' } }), {
    code: 'FST_DRAIN_INVALID_OPTION', message: /"health.liveness" is '\/readyz', which is "health.readiness" as well; allowed: another path, or false/
  })
})

t.test('behind takes a proxy by name, or its idle timeout', async t => {
  for (const value of ['aws-alb', 'aws-nlb', 'gcp', 'azure', 'nginx', 'envoy', 'cloudflare', 'cloudfront', 'oracle', 1, 86_400_000, false]) {
    t.equal(resolve({ behind: value }).behind, value)
  }
  for (const value of ['alb', '', 0, -1, 1.5, 86_400_001, NaN, true, null, {}]) {
    t.throws(() => resolve({ behind: value }), {
      code: 'FST_DRAIN_INVALID_OPTION',
      message: `fastify-drain: option "behind" is ${inspect(value)}; allowed: false, one of aws-alb, aws-nlb, gcp, azure, nginx, envoy, cloudflare, cloudfront, oracle, or its idle timeout: a whole number of milliseconds from 1 to 86400000`
    }, inspect(value))
  }
})

const variable = 'TERMINATION_GRACE_PERIOD_SECONDS'

t.test('the grace period of the pod is an option, else an environment variable', async t => {
  t.equal(resolve({}, { [variable]: '45' }).terminationGracePeriodSeconds, 45)
  t.equal(resolve({ terminationGracePeriodSeconds: undefined }, { [variable]: '45' }).terminationGracePeriodSeconds, 45)
  t.equal(resolve({ terminationGracePeriodSeconds: 60 }, { [variable]: '45' }).terminationGracePeriodSeconds, 60)
  t.equal(resolve({ terminationGracePeriodSeconds: false }, { [variable]: 'garbage' }).terminationGracePeriodSeconds, false)
  t.equal(resolve({ terminationGracePeriodSeconds: 30 }, { [variable]: 'garbage' }).terminationGracePeriodSeconds, 30)
})

t.test('garbage in the environment variable is an error that names it', async t => {
  for (const text of ['', ' ', '30s', '30.5', '-30', '+30', '1e2', '0', '0x1e', ' 30', 'NaN', '$(GRACE)', '2147484']) {
    t.throws(() => resolve({}, { [variable]: text }), {
      code: 'FST_DRAIN_INVALID_ENVIRONMENT',
      message: `fastify-drain: environment variable "${variable}" is ${inspect(text)}; allowed: a whole number of seconds from 1 to 2147483; correct it, or leave it out`
    }, inspect(text))
  }
})

t.test('a drain has to be over before the pod is killed, onClose hooks included', async t => {
  t.equal(resolve({ terminationGracePeriodSeconds: 30 }).hardStopAfter, 25_000, 'the defaults of Kubernetes and of ours fit')
  t.equal(resolve({ terminationGracePeriodSeconds: 10, hardStopAfter: 9499 }).hardStopAfter, 9499)
  for (const [given, env, hardStopAfter, late, source] of [
    [{ terminationGracePeriodSeconds: 10, hardStopAfter: 9500 }, {}, 9500, 0, '10000 ms, from the option terminationGracePeriodSeconds'],
    [{ terminationGracePeriodSeconds: 20 }, {}, 25_000, 5500, '20000 ms, from the option terminationGracePeriodSeconds'],
    [{ hardStopAfter: 60_000 }, { [variable]: '30' }, 60_000, 30_500, `30000 ms, from the environment variable ${variable}`]
  ] as const) {
    const grace = parseInt(source)
    t.throws(() => resolve(given, env), {
      name: 'FastifyError',
      code: 'FST_DRAIN_IMPOSSIBLE_TIMES',
      message: `fastify-drain: option "hardStopAfter" is ${hardStopAfter} ms: with 500 ms for onClose hooks behind it a drain ends ${late} ms too late, because the pod is killed after ` +
        `terminationGracePeriodSeconds (${source}); set hardStopAfter to at most ${grace - 501} ms, or terminationGracePeriodSeconds to at least ${Math.floor((hardStopAfter + 500) / 1000) + 1} s, ` +
        'and leave room for a preStop hook, which counts as well'
    }, source)
    t.doesNotThrow(() => resolve({ ...given, hardStopAfter: grace - 501 }, env), 'the first fix')
    t.doesNotThrow(() => resolve({ ...given, terminationGracePeriodSeconds: Math.floor((hardStopAfter + 500) / 1000) + 1 }, env), 'the second fix')
  }
  t.ok(thrownFor({ terminationGracePeriodSeconds: 10 }) instanceof RangeError)
})
