import { setTimeout as sleep } from 'node:timers/promises'

import { startConnectionLoad } from './connection-load.js'
import { startMember } from './start-member.js'

/**
 * Restarts, one after the other, of a group of processes that share a port by SO_REUSEPORT, under loops of new connections:
 * a new member listens, then the oldest one gets SIGTERM.
 *
 * All processes are spawned first, because starting one under load would take a processor away
 * from what is being measured.
 *
 * @param {object} options
 * @param {string} options.variant
 * @param {string} options.node
 * @param {number} options.members
 * @param {number} options.loops
 * @param {number} options.restarts
 * @param {number} options.settle milliseconds of load before and after each join and each leave
 * @param {number} options.killAfter milliseconds a member may take to exit
 */
export async function rollingRestart ({ variant, node, members, loops, restarts, settle, killAfter }) {
  const all = Array.from({ length: members + restarts }, () => startMember({ variant, node }))
  const pids = []
  const exits = []
  const shares = []
  let load
  try {
    await Promise.all(all.map(member => member.load()))
    let port = 0
    for (const member of all.slice(0, members)) port = await join(member, port)

    load = startConnectionLoad({ port, loops, maxTime: (2 * restarts + 2) * settle + restarts * killAfter })
    await sleep(settle)
    for (let i = 0; i < restarts; i++) {
      await join(all[members + i], port)
      await measureShares(members + 1)
      exits.push(await all[i].terminate(killAfter))
      pids.shift()
      await measureShares(members)
    }
    const counts = await load.stop()
    return { variant, members, restarts, loops, ...counts, shares, exits, stderr: all.map(member => member.stderr()).filter(Boolean) }
  } finally {
    await load?.stop()
    await Promise.all(all.map(member => member.kill()))
  }

  async function join (member, at) {
    const { pid, port } = await member.listen(at)
    pids.push(pid)
    return port
  }

  /** What each member served in the time that follows, as a multiple of an even share. */
  async function measureShares (count) {
    load.takeShares()
    await sleep(settle)
    const served = load.takeShares()
    const total = Object.values(served).reduce((sum, n) => sum + n, 0)
    shares.push(pids.map(pid => (served[pid] ?? 0) * count / total))
  }
}
