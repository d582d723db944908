import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

import { startKeepAliveProcess } from './keep-alive-process.js'
import { startLineage } from './lineage.js'
import { now } from './now.js'
import { countTimeWait, timeWaitSockets } from './time-wait.js'

// How long the control of a handover is watched, in ms; the part of it counts that is as long as the handover was.
const controlTime = 1500
const rest = 400

/** How a service gets a new process, and the files in `variants/` that it runs. */
export const ways = {
  handover: { title: 'handover', variant: 'handover/handover', restart: byHandover, keepsConnections: true },
  cluster: { title: 'handover of workers', variant: 'handover/handover', restart: byReplacement, script: 'cluster-server.js', keepsConnections: true },
  bare: { title: 'stop, then start', variant: 'bare', restart: byStopAndStart },
  'reuse-port': { title: 'SO_REUSEPORT', variant: 'reuse-port/fastify-drain', restart: bySharedPort }
}

/**
 * Restarts one service under load.
 *
 * @param {object} options
 * @param {keyof ways} options.way
 * @param {string} options.node the binary that runs the service
 * @param {number} options.connections
 * @param {number} options.think milliseconds
 * @param {number} options.work milliseconds a request takes
 * @param {number} options.restarts
 */
export async function restartUnderLoad ({ way, node, connections, think, work, restarts }) {
  const { variant, restart, script } = ways[way]
  const lineages = []
  const load = startKeepAliveProcess()
  const start = (options = {}) => {
    const lineage = startLineage({ variant, node, work, ...options })
    lineages.push(lineage)
    return lineage
  }
  try {
    const lineage = start({ script })
    const { port, pid } = await lineage.saw('listening')
    const timeWaitBefore = await timeWaitSockets(port)
    await load.open({ port, connections, think })
    await sleep(1000 + think)

    let current = { lineage, pid }
    const done = []
    for (let i = 0; i < restarts; i++) {
      const { next, ...result } = await restart(current, { start, port })
      current = next
      done.push(result)
      await sleep(600 + think)
    }

    const timeWait = await countTimeWait(port, timeWaitBefore)
    const { members, ...counts } = await load.stop()
    const windows = await measure(load, done)
    return {
      way,
      connections,
      think,
      ...counts,
      pids: Object.keys(members).length,
      timeWait,
      restarts: done.map((result, i) => ({ ...result, ...windows[i] })),
      load: loadavg()[0],
      stderr: lineages.map(one => one.stderr()).filter(Boolean)
    }
  } finally {
    load.end()
    await Promise.all(lineages.map(one => one.end()))
  }
}

async function measure (load, done) {
  return Promise.all(done.map(async ({ window, control, startUp }) => {
    const [during, beside, before] = await load.during([window, control, startUp].map(one => one ?? { from: 0, to: -1 }))
    return { during, beside, before }
  }))
}

/** What SIGUSR2 does. */
async function byHandover ({ lineage, pid }, { start }) {
  const control = await startForNothing(start)
  const begun = now()
  lineage.kill(pid, 'SIGUSR2')
  return handedOver(lineage, pid, begun, control)
}

/** The primary of a cluster replaces one of its two workers. */
async function byReplacement ({ lineage, turn = 0 }, { start }) {
  const control = await startForNothing(start)
  const { pid } = await lineage.saw(`turn ${turn}`)
  const begun = now()
  lineage.kill(lineage.pid, 'SIGUSR2')
  return { ...await handedOver(lineage, pid, begun, control), next: { lineage, turn: turn + 1 } }
}

/** An identical process that gets nothing: that is what a handover is compared with. */
async function startForNothing (start) {
  const other = start()
  const { at: from } = await other.saw('listening')
  await sleep(controlTime)
  await other.end()
  await sleep(rest)
  return from
}

async function handedOver (lineage, pid, begun, from) {
  const { successor, at: over } = await lineage.saw('taken over', pid)
  const { at: ready } = await lineage.saw('ready', successor)
  const { at: gone, code } = await lineage.saw('exit', pid)
  return {
    next: { lineage, pid: successor },
    startUp: { from: begun, to: ready },
    window: { from: ready, to: gone },
    control: { from, to: from + Math.min(gone - ready, controlTime) },
    moved: over - ready,
    total: gone - begun,
    code
  }
}

/** As a user does it who has one process and no plugin. */
async function byStopAndStart ({ lineage, pid }, { start, port }) {
  const begun = now()
  lineage.kill(pid, 'SIGTERM')
  const { code } = await lineage.saw('exit', pid)
  const next = start({ port })
  const { pid: successor, at } = await next.saw('listening')
  return { next: { lineage: next, pid: successor }, total: at - begun, code }
}

/** With the plugin: the successor shares the port, then the old process is told to go. */
async function bySharedPort ({ lineage, pid }, { start, port }) {
  const begun = now()
  const next = start({ port })
  const { pid: successor } = await next.saw('listening')
  lineage.kill(pid, 'SIGTERM')
  const { at, code } = await lineage.saw('exit', pid)
  return { next: { lineage: next, pid: successor }, total: at - begun, code }
}
