import { startServer, startServers } from './lone-server.js'
import { median } from './stats.js'

const connections = 50
const warmUp = 30_000
const requestsPerTurn = 400

/**
 * CPU that two kinds of server spend on a request: microseconds of each, and the second as a multiple of the first.
 *
 * Both processes are fresh, because one process differs from the next by more than what is looked for (what
 * the JIT compiler did when, where memory lies), and only many processes average that out. Within the pair
 * they take short turns, first second second first, so that whatever drifts on this machine hits both alike;
 * the median of these rounds leaves out those in which a garbage collection or a neighbour fell on one side.
 *
 * `together`: both are apps of one fresh process. What remains of the difference is what one of them does and the other
 * does not: that more code was loaded has slowed down both.
 */
export async function measurePair (variants, { protocol, requests, load, together = false }) {
  const servers = []
  try {
    if (together) {
      const { ports, ...server } = await startServers(variants, { protocol })
      for (const port of ports) servers.push({ port, ...server })
    } else {
      for (const variant of variants) servers.push(await startServer(variant, { protocol }))
    }
    for (const { port } of servers) await load.open(port, connections, protocol)
    await takeTurns(servers, warmUp, load)
    const rounds = await takeTurns(servers, requests, load)
    for (const { port } of servers) await load.close(port)

    return {
      first: median(rounds.map(([first]) => first)),
      second: median(rounds.map(([, second]) => second)),
      ratio: median(rounds.map(([first, second]) => second / first))
    }
  } finally {
    await Promise.all(servers.map(server => server.kill()))
  }
}

/** Sends `requests` to each of the two servers; resolves with the CPU per request of both in every round. */
async function takeTurns ([first, second], requests, load) {
  const rounds = []
  for (let left = requests; left > 0; left -= 2 * requestsPerTurn) {
    const turn = Math.min(requestsPerTurn, Math.ceil(left / 2))
    const spent = []
    for (const server of [first, second, second, first]) spent.push(await cpuOf(server, turn, load))
    rounds.push([(spent[0] + spent[3]) / turn / 2, (spent[1] + spent[2]) / turn / 2])
  }
  return rounds
}

async function cpuOf (server, requests, load) {
  const before = await server.cpu()
  await load.run(server.port, requests)
  const after = await server.cpu()
  return after.user + after.system - before.user - before.system
}
