/**
 * What each bench writes to its `--json` file, made up: the plugin reaches every target, and another server what it is compared with.
 * Nothing here was measured.
 */
export function rawResults (): Record<string, any> {
  const exit = (ms: number) => ({ ms, code: 0, signal: null, killed: false })
  const servers = ['bare', 'stoppable', 'fastify-drain']
  const ours = (variant: string): boolean => variant === 'fastify-drain'
  const each = <T>(list: T[], make: (item: T, round: number) => object): object[] => [0, 1].flatMap(round => list.map(item => ({ round, ...make(item, round) })))
  const cross = <A, B>(as: A[], bs: B[]): Array<[A, B]> => as.flatMap(a => bs.map((b): [A, B] => [a, b]))
  const counts = { refused: 0, reset: 0, empty: 0, other: 0 }

  return {
    sigterm: {
      sigterm: {
        flags: { clients: 200, work: 5 },
        results: each(cross(servers, [10, 400]), ([variant, think], round) => ({
          variant, think: [think], requests: 1000, lost: ours(variant) ? 0 : 8 + round, reset: 0, answered503: ours(variant) ? 0 : 3, timeWait: ours(variant) ? 0 : 150, exits: [exit(40 + round)]
        }))
      }
    },
    'exit-time': {
      exits: {
        flags: { connections: 200, 'kill-after': 5000 },
        results: each(cross(servers, ['busy', 'idle', 'mixed']), ([variant, kind]) => ({ variant, kind, exit: exit(kind === 'busy' ? 462 : 1050), longest: kind === 'busy' ? 448.26 : null, lost: 0 }))
      }
    },
    'early-413': {
      uploads: {
        flags: { uploads: 40, size: 16 },
        results: each(cross(cross(servers, ['python', 'curl', 'http', 'undici']), ['steady', 'sigterm']), ([[variant, client], moment]) => ({
          variant, client, moment, whole: ours(variant) ? 40 : 26, reset: ours(variant) ? 0 : 14, other: 0, errors: ours(variant) ? {} : { EPIPE: 14 }
        }))
      }
    },
    rolling: {
      rolling: {
        flags: { replicas: 3, clients: 64, think: 50, work: 5, 'check-every': 200, 'shutdown-delay': 2000 },
        results: cross(['haproxy', 'nginx', 'caddy'], ['bare', 'fastify-drain']).map(([proxy, variant]) => ({
          run: 0, proxy, variant, requests: 9000, ok: ours(variant) ? 9000 : 8990, statuses: ours(variant) ? { 200: 9000 } : { 200: 8990, 503: 7 }, errors: ours(variant) ? {} : { 'status 503': 7, ECONNRESET: 3 }, latencyMax: 20.4, exits: [exit(2010)]
        }))
      }
    },
    reuseport: {
      groups: {
        flags: { loops: 60 },
        results: each(cross(['bare', 'without-steering', 'fastify-drain'], [2, 4]), ([variant, members]) => ({
          line: '20', variant, members, connections: 20_000, ...counts, reset: ours(variant) ? 0 : 12, shares: [[0.9, 1.1], [0.95, 1.05]], exits: [exit(80), exit(90)]
        }))
      }
    },
    handover: {
      handover: {
        flags: { work: 5, restarts: 2 },
        results: [
          ...each(['handover', 'bare'], way => ({
            line: '20',
            way,
            connections: 300,
            think: 200,
            requests: 12_000,
            lost: way === 'bare' ? 20 : 0,
            refused: way === 'bare' ? 5000 : 0,
            answered503: 0,
            reconnects: way === 'bare' ? 600 : 0,
            opened: 300,
            pids: 3,
            timeWait: 0,
            longestWait: 25.4,
            load: 0.5,
            restarts: [way === 'bare'
              ? { total: 440, during: { times: [], lags: [] }, beside: { times: [], lags: [] }, before: { times: [], lags: [] } }
              : { moved: 100, total: 350, during: { times: [6, 7, 9, 11], lags: [1] }, beside: { times: [6, 6, 7, 8], lags: [1] }, before: { times: [6, 12], lags: [1] } }]
          }))
        ]
      },
      descriptors: { results: each([4, 16, 0], window => ({ connections: 300, window, perSecond: 5000 })) }
    },
    http2: {
      streams: {
        flags: { sessions: 100, streams: 20 },
        results: each(cross(['bare', 'fastify-drain'], ['h2c', 'h2']), ([variant, protocol]) => ({
          line: '20', protocol, variant, executed: 40_000, unanswered: 0, refused: 0, refusedButExecuted: 0, twice: 0, neverSent: 3, answered503: ours(variant) ? 0 : 9000, lost: ours(variant) ? 0 : 1300, outlived: 20, timeWait: null, exit: exit(900)
        }))
      }
    },
    websockets: {
      sockets: {
        results: each(cross(['bare', 'fastify-drain'], [0, 3000]).filter(([variant, spread]) => ours(variant) || spread === 0), ([variant, closeSpread]) => ({
          variant, closeSpread, sockets: 3, codes: ours(variant) ? { 1001: 3 } : { 1005: 3 }, unclean: 0, moved: 3, openedAt: [10, 20, 250], exit: exit(350)
        }))
      }
    },
    scale: {
      scale: {
        results: each(cross(cross(['bare', 'fastify-drain'], [1000, 5000, 10_000]), [0, 2000]).filter(([[variant], spread]) => ours(variant) || spread === 0), ([[variant, count], spread]) => ({
          variant,
          count,
          spread,
          lastFinMs: spread + 1100,
          lastFinAfterGraceMs: spread + 100,
          left: 0,
          closeCpuMs: count / 45,
          stallMs: ours(variant) ? 45 : 40,
          bytesPerConnection: ours(variant) ? 3100 : 2900,
          timeWait: 0,
          closeMs: count / 40,
          bareLoopMs: count / 50,
          peakNewPerSecond: spread === 0 ? count : 500,
          exitMs: spread + 120,
          lost: 0
        }))
      }
    },
    memory: { heap: { flags: { connections: 2000 }, results: ['http', 'h2'].map(protocol => ({ protocol, cpu: null, heap: { rounds: [{ bare: 2900.4, plugin: 3150.2 }] } })) } },
    overhead: { apart: overhead(), together: overhead() }
  }
}

function overhead (): object {
  const pairs = Array.from({ length: 31 }, (_, i) => ({ bare: 15, plugin: 15.05, ratio: 1 + (i - 12) / 1000 }))
  return { flags: { requests: 30_000 }, results: [{ cpu: { bare: 15, plugin: 15.05, ratio: 1.003, quartiles: [0.995, 1.01], interval: [0.999, 1.006], pairs } }] }
}
