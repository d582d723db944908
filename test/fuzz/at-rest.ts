import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectionCounts, ConnectionState } from '../../index.ts'
import type { Run } from './run.ts'

const patience = 6000

const counted = ['new', 'active', 'idle', 'upgraded', 'lingering'] as const

/**
 * Waits until every request that can be answered is, and the server has every connection in the state in which its client must
 * expect it. Complains when that does not come true.
 */
export async function untilAtRest (run: Run): Promise<void> {
  const began = performance.now()
  const before = run.stalls()
  while (true) {
    const wrong = atRest(run)
    if (wrong.length === 0) return
    if (performance.now() - began > patience + run.stalls() - before) {
      const { phase } = run.server.app.drain
      const all = run.peers.map((peer, i) => `${i}: ${peer.inWords()} => ${peer.states(phase).join(' or ')}`).join('; ')
      run.wrong.push(...wrong.map(text => `${text} (phase ${phase}, for ${patience} ms; connections: ${all})`))
      return
    }
    await sleep(2)
  }
}

/** What is not at rest, or not as it must be. */
function atRest (run: Run): string[] {
  const { peers, server: { app } } = run
  const { phase } = app.drain
  const awaited = peers.flatMap(peer => peer.awaited.map(({ id, route }) => `${id} (${route}) is not answered`))
  const pings = phase !== 'serving' ? [] : peers.filter(peer => peer.isSecured && !peer.sawEnd && !peer.isPaused && !peer.hasReset && !peer.hasSentFin && !peer.isRude && peer.pings.some(isAnswered => !isAnswered()))
  return [...awaited, ...pings.map(() => 'a PING is not answered'), ...wrongCounts(run, app.drain.connections), ...wrongLives(run)]
}

/** Each state has at least those that can be in no other, and at most those that can be in it. */
function wrongCounts ({ peers, rude, server: { app: { drain: { phase } } } }: Run, counts: ConnectionCounts): string[] {
  const allowed = peers.map(peer => peer.states(phase))
  const isExact = rude.length === 0
  return counted.flatMap(state => {
    const least = allowed.filter(states => states.length === 1 && states[0] === state).length
    const most = isExact ? allowed.filter(states => states.includes(state)).length : Infinity
    return counts[state] < least || counts[state] > most ? [`${counts[state]} connections are ${state}, not ${least === most ? least : `${least} to ${most}`}`] : []
  })
}

function wrongLives ({ peers, lives, server: { app: { drain: { phase } } } }: Run): string[] {
  if (lives === null) return []
  return peers.flatMap(peer => {
    const life = lives.byPort.get(peer.port)
    const told: ConnectionState | null = life === undefined ? null : life.outcome === null ? life.state : 'closed'
    // Nobody is told of what is no request yet.
    const isUntold = peer.rest !== null || peer.asked.length === 0
    const states: ConnectionState[] = [...peer.states(phase), ...isUntold ? ['new', 'idle'] as const : []]
    // Its listener was closed before it was accepted, or it had reset its connection by then, and nobody knows its port.
    const isNever = told === null && (peer.hasReset || (phase !== 'serving' && phase !== 'lame-duck'))
    return isNever || (told !== null && states.includes(told)) ? [] : [`a connection is said to be ${told}, not ${states.join(' or ')}`]
  })
}
