import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import type { DrainReport } from '../../index.ts'
import { fuzzApp, type FuzzApp } from './app.ts'
import { complaints } from './complaints.ts'
import type { Coverage } from './coverage.ts'
import { watchLives, type Lives } from './lives.ts'
import type { Exchange } from '../helpers/exchange.ts'
import { untilAtRest } from './at-rest.ts'
import { servers } from '../helpers/servers.ts'
import { clientOperations, fits, finishUpload, heldRoutes, sendRest, type Deed, type Operation } from './operations.ts'
import { connectPeer, usualPeer, type Peer, type PeerOptions } from './peer.ts'
import { rudeClient, type RudeClient } from './rude.ts'
import { watchStalls } from './stalls.ts'
import { farDeadline, protocolOf, type Sequence } from './sequence.ts'

/** Everything about one run that its complaints are made of. */
export interface Run {
  sequence: Sequence
  server: FuzzApp
  peers: Peer[]
  rude: RudeClient[]
  lives: Lives | null
  /** When the drain was begun; Infinity: it was not. */
  began: number
  /** Whoever keeps the rules must be served to the end. */
  isFar: boolean
  /** By how much timers have come too late since the beginning, in ms. */
  stalls (): number
  /** What has gone wrong so far. */
  wrong: string[]
}

export interface Result {
  /** What went wrong; empty: nothing. */
  wrong: string[]
  /** Operation by operation: what was left out has made no sense. */
  done: Operation[]
  executed: number
}

// How late a timer may be on a machine that is busy with other things, in ms.
const margin = 5000

/** Runs a sequence against a server of its own, drains it, and tells what went wrong. */
export async function run (sequence: Sequence, coverage?: Coverage): Promise<Result> {
  const cleanUps: Array<() => unknown> = []
  const t = { teardown: (fn: () => unknown) => { cleanUps.unshift(fn) } }
  try {
    return await runOn(t, sequence, coverage)
  } finally {
    for (const cleanUp of cleanUps) await cleanUp()
  }
}

async function runOn (t: { teardown (fn: () => unknown): void }, sequence: Sequence, coverage?: Coverage): Promise<Result> {
  const server = await fuzzApp(t, sequence)
  const { app, port } = server
  const lives = sequence.observed ? watchLives(t, app.drain) : null
  const state: Run = { sequence, server, peers: [], rude: [], lives, began: Infinity, isFar: sequence.options.hardStopAfter === farDeadline, stalls: watchStalls(t), wrong: [] }
  const current = new Map<number, Peer>()
  const done: Operation[] = []
  const deed: Deed = { ask, letGo }
  let closing: Promise<unknown> | undefined

  for (const operation of sequence.operations) {
    // What is wrong now is not mended by going on.
    if (state.wrong.length > 0) break
    if (await perform(operation)) done.push(operation)
  }
  begin('begin')
  const report = await finish()
  const wrong = report === null ? state.wrong : await complaints(state, report)
  return { wrong, done, executed: server.executed.size }

  /** Whether it made sense. */
  async function perform (operation: Operation): Promise<boolean> {
    const definition = clientOperations[operation.do]
    if (operation.do === 'wait') return wait(operation)
    if (operation.do === 'drain') {
      if (state.began !== Infinity) return false
      coverage?.count(sequence, operation.do, app.drain.phase, null)
      begin(operation['how'] as 'begin' | 'close')
      return true
    }
    if (operation.do === 'rude') {
      coverage?.count(sequence, operation.do, app.drain.phase, null)
      const { isSecure } = server.server
      state.rude.push(rudeClient({ port, secure: isSecure, http1: sequence.server !== 'h2c', http2: sequence.server.startsWith('h2') }, operation['deed'] as string, operation['seed'] as number))
      return true
    }
    const client = operation.client as number
    if (operation.do === 'connect') return connect(client, operation as unknown as PeerOptions)
    if (definition === undefined || !fits(definition, servers[protocolOf(sequence.server, client)])) return false
    const isOver = current.get(client)?.isOver !== false
    if (isOver && definition.begins === true && !await connect(client, usualPeer)) return false
    const peer = current.get(client)
    if (peer === undefined || !definition.can(peer)) return false
    coverage?.count(sequence, operation.do, app.drain.phase, peer.states(app.drain.phase)[0] ?? 'closed')
    definition.run(peer, operation, deed)
    return true
  }

  async function connect (client: number, options: PeerOptions): Promise<boolean> {
    coverage?.count(sequence, 'connect', app.drain.phase, null)
    try {
      const peer = await connectPeer(t, protocolOf(sequence.server, client), port, options)
      current.set(client, peer)
      state.peers.push(peer)
      return true
    } catch {
      if (app.drain.phase === 'serving' || app.drain.phase === 'lame-duck') state.wrong.push(`a new connection was refused in the phase ${app.drain.phase}`)
      return false
    }
  }

  function begin (how: 'begin' | 'close'): void {
    if (state.began !== Infinity) return
    state.began = performance.now()
    for (const asked of state.peers.flatMap(({ asked }) => asked)) {
      asked.endedBefore = asked.exchange.end !== 'open'
      // Their handlers listen to the drain.
      if (asked.route === '/events') asked.held = false
    }
    closing = how === 'begin' ? app.drain.begin('fuzz') : app.close()
    closing.catch(error => { state.wrong.push(`the drain failed: ${error}`) })
  }

  function ask (peer: Peer, route: string, { headers = {}, upload = false, send = true } = {}): Exchange {
    const id = `${state.peers.indexOf(peer)}.${peer.asked.length}`
    const held = heldRoutes.includes(route) && !(route === '/events' && state.began !== Infinity)
    if (held) server.hold(id)
    const isBehindClose = !peer.isHttp2 && (peer.hasAskedForClose || peer.asked.some(({ route }) => route === '/close'))
    const alone = peer.open.length === 0 && peer.isSecured
    const exchange = peer.client.prepare(route, { headers: { ...headers, id }, ...upload ? { method: 'POST', body: null } : {} })
    peer.asked.push({
      id, route, exchange, held, isBehindClose, alone, isUpload: upload, sentAt: performance.now(), phase: app.drain.phase, hasPiece: false, cancelled: false, endedBefore: false
    })
    if (send) peer.wire.write(exchange.bytes)
    return exchange
  }

  function letGo (peer: Peer): void {
    const asked = peer.open.find(({ held }) => held)
    if (asked === undefined) return
    asked.held = false
    server.letGo(asked.id)
  }

  async function wait ({ for: what, ms, us }: Operation): Promise<boolean> {
    const { idleGrace } = sequence.options
    const isDraining = state.began !== Infinity
    if (what === 'rest') await untilAtRest(state)
    else if (what === 'turn') await turn()
    else if (what === 'ms') await sleep(ms as number)
    else if (!isDraining) return false
    else if (what === 'draining') await until(() => app.drain.phase !== 'lame-duck')
    else if (what === 'deadline') {
      if (state.isFar) return false
      await until(() => app.drain.phase === 'aborting' || app.drain.phase === 'closed')
    } else {
      // A timer is not exact enough for a race with another one.
      const edge = state.began + idleGrace + (us as number) / 1000
      if (edge - performance.now() > 3) await sleep(edge - performance.now() - 3)
      while (performance.now() < edge);
    }
    return true
  }

  /** Lets everything come to its end, and resolves with the report; `null`: it has not come in time. */
  async function finish (): Promise<DrainReport | null> {
    for (const peer of state.peers) leave(peer)
    const { hardStopAfter } = sequence.options
    const left = state.began + hardStopAfter + margin - performance.now()
    const isOver = await Promise.race([closing?.then(() => true, () => true), sleep(left, false, { ref: false })])
    if (isOver !== true) {
      state.wrong.push(`the drain has not ended ${hardStopAfter + margin} ms after it began; ${JSON.stringify(app.drain.connections)}`)
    }
    for (const rude of state.rude) rude.destroy()
    await Promise.all(state.rude.map(({ done }) => done))
    return app.drain.report
  }

  // With a deadline that is near whoever is not through yet stays as it is.
  function leave (peer: Peer): void {
    for (const { id } of peer.asked) server.letGo(id)
    for (const asked of peer.asked) asked.held = false
    if (!state.isFar) return
    peer.resume()
    peer.release()
    if (peer.canTalk) sendRest(peer)
    while (peer.canTalk && finishUpload(peer));
    if (peer.isHttp2 && peer.canTalk) peer.http2.pong()
    if (peer.upgrade === 'tunnel') peer.end()
    if (peer.isRude) peer.wire.raw.socket.destroy()
    for (const rude of state.rude) rude.destroy()
  }

  async function until (isSo: () => boolean): Promise<void> {
    while (!isSo()) await sleep(1)
  }
}
