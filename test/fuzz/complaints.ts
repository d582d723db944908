import { setTimeout as sleep } from 'node:timers/promises'
import type { DrainReport, Straggler } from '../../index.ts'
import type { Asked, Peer } from './peer.ts'
import type { Run } from './run.ts'

// A margin of our own clock, in ms: a FIN is never seen before it was sent.
const slack = 2

/** The invariants of docs/failure-modes.md, when a drain is over. */
export async function complaints (run: Run, report: DrainReport): Promise<string[]> {
  const { peers, server } = run
  // What was sent before the last FIN may still be on its way to the client.
  for (let i = 0; i < 2000 && !peers.every(peer => peer.sawEnd || peer.isPaused || peer.hasReset); i++) await sleep(5)
  const open = await new Promise<number>(resolve => server.app.server.getConnections((error, count) => resolve(error === null ? count : 0)))
  return [
    ...run.wrong,
    ...server.told,
    ...run.lives?.wrong ?? [],
    ...peers.flatMap((peer, i) => ofPeer(run, report, peer).map(text => `connection ${i}: ${text}`)),
    ...ofReport(run, report),
    ...open > 0 ? [`${open} connections have leaked`] : [],
    ...Object.values(server.app.drain.connections).some(count => count > 0) ? [`something is still counted: ${JSON.stringify(server.app.drain.connections)}`] : [],
    ...server.app.drain.phase === 'closed' ? [] : [`the phase is ${server.app.drain.phase} when the drain is over`]
  ]
}

function ofReport ({ peers, rude, lives, sequence: { options }, isFar, stalls }: Run, report: DrainReport): string[] {
  const { connections: { total, ...outcomes }, stragglers, phases, duration } = report
  const wrong: string[] = []
  const sum = Object.values(outcomes).reduce((sum, count) => sum + count)
  if (sum !== total) wrong.push(`the report does not add up: ${JSON.stringify(report.connections)}`)
  if (phases.some(({ at, duration: long }, i) => at + long !== (phases[i + 1]?.at ?? duration))) wrong.push(`the phases do not add up: ${JSON.stringify(phases)}`)
  // What opens a request, and then breaks the rules, may never be heard to end it.
  const ends = (port: number | null): boolean => {
    const peer = peers.find(peer => peer.port === port)
    return peer === undefined ? rude.length === 0 : !peer.isRude || peer.asked.every(({ exchange, isUpload }) => exchange.end === 'served' && !isUpload)
  }
  if (isFar && stragglers.some(({ outcome, remotePort }) => outcome === 'cut' && ends(remotePort))) wrong.push(`a connection was cut although every client comes to an end: ${stragglers.map(straggler => describe(straggler, peers)).join(', ')}`)
  if (stragglers.length !== outcomes.cut + outcomes['timed-out'] + outcomes['peer-lost']) wrong.push(`the stragglers are not those of ${JSON.stringify(report.connections)}: ${JSON.stringify(stragglers)}`)
  if (rude.length === 0 && total > peers.length) wrong.push(`${total} connections are reported, and there were ${peers.length}`)
  if (duration > options.hardStopAfter + 1000 + stalls()) wrong.push(`the drain took ${duration} ms`)
  for (const peer of peers) {
    if (lives?.byPort.get(peer.port)?.outcome === null) wrong.push('the end of a connection was not told')
  }
  return wrong
}

function describe ({ remotePort, state, outcome, age }: Straggler, peers: Peer[]): string {
  const index = peers.findIndex(({ port }) => port === remotePort)
  return `${index < 0 ? 'a rude client' : `connection ${index}: ${peers[index]?.inWords()}`} (${outcome}, ${state}, ${age} ms old)`
}

function ofPeer (run: Run, report: DrainReport, peer: Peer): string[] {
  if (peer.isRude) return []
  const gaveUp = report.stragglers.some(({ remotePort, outcome }) => remotePort === peer.port && outcome !== 'timed-out')
  const isLate = report.stragglers.some(({ remotePort, outcome }) => remotePort === peer.port && outcome === 'timed-out')
  // Who does not read for as long as a connection lingers may lose what it was sent.
  const isExcused = gaveUp || (isLate && peer.hasPaused) || peer.hasReset || peer.hasBrokenOff || (peer.isHttp2 && peer.hasSentFin) || (!run.isFar && peer.isPaused)
  const wrong = peer.asked.flatMap(asked => ofRequest(run, peer, asked, isExcused))
  const { error } = peer.wire.raw
  // The kernel resets whoever comes between the last look into the accept queue and the end of the listener.
  const isNever = peer.beganAt >= run.began && peer.wire.raw.received === ''
  if (error !== null && !gaveUp && !isLate && !isNever && !peer.hasReset && peer.finAt === null) wrong.push(`${error} before any FIN: ${peer.inWords()}`)
  if (isExcused) return wrong
  if (run.isFar && peer.upgrade === 'websocket' && peer.isUpgraded() && !peer.hasSentFinFirst && !peer.hasClosedWebSocketFirst && peer.closeCode !== 1001) {
    wrong.push(`a WebSocket was not told that the server goes away (${peer.closeCode})`)
  }
  if (run.isFar && isTooEarly(run, peer)) wrong.push(`FIN ${Math.round((peer.finAt as number) - run.began)} ms after the drain began, although it was idle: ${peer.inWords()}`)
  return wrong
}

/** Nothing has happened on it since the drain began, and its grace was not over. */
function isTooEarly ({ began, sequence: { options: { idleGrace } } }: Run, peer: Peer): boolean {
  if (peer.finAt === null || peer.finAt < began || peer.isHttp2 || peer.upgrade !== null || peer.hasSentFinFirst) return false
  // What is left of a body may still come after an early answer.
  if (peer.rest !== null || peer.client.isTold || peer.asked.some(({ route }) => route === '/early')) return false
  if (peer.asked.some(({ sentAt, endedBefore }) => sentAt >= began || !endedBefore)) return false
  return peer.finAt < Math.max(began, peer.beganAt) + idleGrace - slack
}

function ofRequest ({ server: { executed }, began, isFar, sequence: { options: { idleGrace } } }: Run, peer: Peer, asked: Asked, isExcused: boolean): string[] {
  const { id, route, exchange: { end, statuses, body }, cancelled, isUpload, isBehindClose, sentAt, alone } = asked
  const isExecuted = executed.has(id)
  const about = `${id} (${route}, sent ${sentAt < began ? 'before' : `${Math.round(sentAt - began)} ms after`} the drain began)`
  if (statuses.includes(503)) return [`${about} was answered with 503`]
  if (isBehindClose) return []
  if (end === 'refused' && isExecuted && !cancelled && !isExcused) return [`${about} was refused and executed`]
  if (end === 'served' && statuses.at(-1) === 200 && !body.includes(`[${id}]`)) return [`${about} got the answer of another request: ${JSON.stringify(body.slice(0, 100))}`]
  if (isExcused || cancelled || isUpload || peer.rest?.asked === asked) return []
  // The reader of events that sends FIN is gone.
  if (peer.hasSentFinFirst && peer.asked.some(({ route }) => route === '/events')) return []
  if (end !== 'served' && isExecuted) return [`${about} was executed but not answered (${end})`]
  const inTime = sentAt < began || sentAt < began + idleGrace
  if (end !== 'served' && isFar && alone && inTime && !peer.isHttp2) return [`${about} was not served (${end})`]
  return []
}
