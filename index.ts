import type { FastifyBaseLogger, FastifyInstance, FastifyPluginAsync, onRequestHookHandler, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import cluster from 'node:cluster'
import { KeepAliveBehind } from './lib/behind.ts'
import { systemClock } from './lib/clock.ts'
import type { FastifyDrain } from './lib/decorator.ts'
import { Diagnostics } from './lib/diagnostics.ts'
import { Drain } from './lib/drain.ts'
import { ownVariables } from './lib/environment.ts'
import { errors } from './lib/errors.ts'
import { handoverProcess } from './lib/handover/club.ts'
import { AppMember } from './lib/handover/member.ts'
import { surroundings, whyImpossible } from './lib/handover/possible.ts'
import { startedAs } from './lib/handover/successor.ts'
import { Health } from './lib/health.ts'
import { addHealthRoutes } from './lib/health-routes.ts'
import { processes } from './lib/launcher.ts'
import { limits } from './lib/limits.ts'
import { inheritedListeners, whyIgnored } from './lib/listen/inherited.ts'
import { Listeners } from './lib/listen/listeners.ts'
import { refuseListen } from './lib/listen/refuse-listen.ts'
import { ListenState } from './lib/listen/settled.ts'
import { watchListen } from './lib/listen/watch-listen.ts'
import { checkNode } from './lib/node-version.ts'
import { Observers } from './lib/observer.ts'
import { resolveOptions, type FastifyDrainOptions } from './lib/options.ts'
import { loadNative, type Native } from './lib/os/native.ts'
import { Sockets } from './lib/os/sockets.ts'
import { sendDatagram } from './lib/os/unix.ts'
import { inWords, type Log } from './lib/progress.ts'
import { reportFile } from './lib/report-file.ts'
import { resolveRouteOptions, type RouteDrainOptions } from './lib/route-options.ts'
import type { HttpServer } from './lib/server.ts'
import { ServiceManager } from './lib/service-manager.ts'
import { otherListeners, stopOnSignals } from './lib/signals.ts'
import { Streams } from './lib/streams.ts'
import { Timeline } from './lib/timeline.ts'
import { listenerWarnings, restartWarnings } from './lib/warnings.ts'

declare module 'fastify' {
  interface FastifyInstance {
    drain: FastifyDrain
  }

  interface FastifyRequest {
    /**
     * Aborts when the long answers of this route shall end: as soon as a drain begins (it is `app.drain.signal` then), or
     * when `config.drain.endStreams` of the route says.
     */
    readonly drainSignal: AbortSignal
  }

  interface FastifyContextConfig {
    /** What a drain does with the long answers of this route. Without it the plugin ends none. */
    drain?: RouteDrainOptions
  }
}

// Part of avvio's interface: what is added last is run first.
interface WithOnClose { onClose (fn: () => Promise<void>): void }

const plugin: FastifyPluginAsync<FastifyDrainOptions> = async (app, options) => {
  checkNode(process.versions.node)
  if (!isRoot(app)) throw new errors.NotAtRoot()
  if (app.hasDecorator('drain')) throw new errors.AlreadyRegistered()

  const env = ownVariables(process.env)
  const settings = resolveOptions(options, env)
  const { log, initialConfig: { http2 = false, https = false, keepAliveTimeout = 0, http2SessionTimeout = 0, forceCloseConnections } } = app
  const loaded = await loadNative()
  const native = typeof loaded === 'string' ? null : loaded
  const missing = limits(settings, loaded, { env, h2c: http2 && !https })
  if (missing !== null) log.warn({}, `fastify-drain: ${missing}`)
  const impossible = settings.handover === false ? null : whyImpossible(surroundings)
  if (impossible !== null) throw new errors.HandoverImpossible(impossible)
  const handover = handoverProcess(process, systemClock, startedAs(process))
  const { predecessor } = handover
  const ignored = whyIgnored(process)
  if (ignored !== null) log.info({}, `listen: ${ignored}`)

  const sockets = new Sockets(native)
  const inherited = inheritedListeners(process, native, predecessor?.listeners)
  const listeners = new Listeners({
    settings, native, sockets, clock: systemClock, log, inherited, areShared: () => predecessor?.isAlive === true, receive: (server, handle, luggage) => drain.connections.receive(server, handle, luggage)
  })
  const listen = new ListenState()
  const observer = new Observers([
    new Diagnostics(() => app.drain),
    ...settings.report === false ? [] : [new Timeline(systemClock, reportFile(settings.report.file, log))]
  ])
  const drain: Drain = new Drain({
    settings,
    clock: systemClock,
    log,
    sockets,
    observer,
    leave: async (server, stop) => {
      await letGo
      await (member ?? listeners).leave(server, stop)
    },
    listenSettled: () => listen.settled(),
    closeApp: () => app.close()
  })
  const streams = new Streams({
    clock: systemClock,
    closeSpread: settings.closeSpread,
    signalAt: moment => drain.moments.signalAt(moment),
    random: Math.random
  })
  const health = settings.health === false ? null : new Health({ paths: settings.health, clock: systemClock, log: logOf(app, options), drain })
  const behind = settings.behind === false ? null : new KeepAliveBehind(settings.behind, { keepAliveTimeout, http2SessionTimeout })
  const serviceManager = serviceManagerOf(env, native, log)
  const member: AppMember | null = settings.handover === false ? null : new AppMember({ settings: settings.handover, log, drain, listeners, serviceManager: cluster.isWorker ? null : serviceManager })
  const leaveHandover = member === null ? () => {} : handover.join(member)
  let letGo: Promise<void> | undefined
  let leaveSignals = () => {}
  let stopsOnSignals = false

  app.decorate('drain', decorator(drain, () => {
    if (member === null) throw new errors.HandoverImpossible('it is not set; register the plugin with { handover: true }')
    return handover.handOver()
  }))
  app.decorateRequest('drainSignal', { getter () { return streams.signalOf(this.raw) } })
  app.addHook('onRoute', route => watchStreams(route, streams))
  if (health !== null) addHealthRoutes(app, health)
  adopt(app.server)
  watchListen(app.server, (server, options) => {
    if (drain.phase !== 'serving') return refuseListen(server, options, new errors.Closing())
    if (server === app.server) listen.begin(server)
    listeners.prepare(server, options, server === app.server)
    adopt(server)
    stopBySignal()
  })
  app.addHook('onListen', async () => {
    listen.done()
    listeners.tellOfUnused()
    warn()
    serviceManager?.ready(predecessor !== null)
    handover.listening({
      ready: async () => { if (settings.handover !== false) await settings.handover.ready?.() },
      failed: error => log.fatal({ err: error }, 'handover: this process will not be ready, so its predecessor goes on serving')
    }, inherited)
  })
  drain.signal.addEventListener('abort', () => {
    listeners.closing()
    // What this process has not got yet is better off where it is.
    letGo = predecessor?.leave(systemClock)
    serviceManager?.stopping(() => `draining, ${inWords(drain.connections.counts())}`)
  })
  // PID 1 has no default action for a signal: one that came while plugins load would be lost.
  if (process.pid === 1) stopBySignal()

  app.addHook('onReady', async () => {
    // Fastify's own part of close() answers every request with 503, so the drain comes before it.
    (app as FastifyInstance & WithOnClose).onClose(() => drain.drained('app.close()'))
  })
  app.addHook('onClose', async () => {
    // An app that is closed before it is ready has had no drain yet.
    await drain.drained('app.close()')
    streams.close()
    serviceManager?.stopped()
    leaveHandover()
    leaveSignals()
  })

  // What answers probes comes behind what a drain does to every answer.
  function adopt (server: HttpServer): void {
    behind?.apply(server)
    health?.answerOn(server)
    drain.connections.adopt(server)
  }

  function warn (): void {
    const circumstances = { settings, env, processes, forceCloseConnections, contradiction: behind?.contradiction() ?? null }
    for (const warning of restartWarnings(circumstances)) log.warn({}, `fastify-drain: ${warning}`)
    // Many services add their listeners right behind app.listen().
    if (settings.signals !== false && !warnOfListeners()) setImmediate(warnOfListeners)
  }

  function warnOfListeners (): boolean {
    const warnings = settings.signals === false || drain.phase !== 'serving' ? [] : listenerWarnings(otherListeners(settings.signals))
    for (const warning of warnings) log.warn({}, `fastify-drain: ${warning}`)
    return warnings.length > 0
  }

  function stopBySignal (): void {
    if ((settings.signals === false && member === null) || stopsOnSignals) return
    stopsOnSignals = true
    leaveSignals = stopOnSignals({
      signals: settings.signals === false ? [] : settings.signals,
      stop: async reason => await drain.stop(reason) && member?.hasLostSuccessor !== true,
      hardStop: () => drain.hardStopAndFinish(),
      uncaught: error => log.fatal({ err: error }, 'drain: an error that nobody caught ends the process')
    })
  }
}

// Fastify takes it from the options of any plugin for its routes.
function logOf (app: FastifyInstance, { logLevel }: FastifyDrainOptions & { logLevel?: string }): FastifyBaseLogger {
  return logLevel === undefined ? app.log : app.log.child({}, { level: logLevel })
}

function decorator (drain: Drain, handover: () => Promise<number>): FastifyDrain {
  return {
    get phase () { return drain.phase },
    get signal () { return drain.signal },
    get connections () { return drain.connections.counts() },
    get lostPeers () { return drain.lostPeers },
    get report () { return drain.report },
    begin: (reason = 'app.drain.begin()') => drain.begin(reason),
    handover: async () => handover(),
    onUpgradeClose: (socket, fn) => drain.onUpgradeClose(socket, fn)
  }
}

// A route that says nothing gets no hook, and its requests cost nothing.
function watchStreams (route: RouteOptions, streams: Streams): void {
  const settings = resolveRouteOptions(route)
  if (settings === null) return
  const watch = streams.watcher(settings)
  const first: onRequestHookHandler = (request, reply, done) => {
    watch(request.raw, reply.raw)
    done()
  }
  route.onRequest = [first, ...[route.onRequest ?? []].flat()]
}

// Only the root instance has its server as its own: encapsulated ones inherit it.
function isRoot (app: FastifyInstance): boolean {
  return Object.hasOwn(app, 'server')
}

// systemd says where it listens for notifications; nobody else does.
function serviceManagerOf ({ NOTIFY_SOCKET: path }: NodeJS.ProcessEnv, native: Native | null, log: Log): ServiceManager | null {
  if (path === undefined || native === null) return null
  return new ServiceManager({ clock: systemClock, log, isWorker: cluster.isWorker, send: message => sendDatagram(native, path, message) })
}

const fastifyDrain = fp(plugin, { fastify: '5.x', name: 'fastify-drain' })

export default fastifyDrain
export { fastifyDrain }
export type { FastifyDrain } from './lib/decorator.ts'
export type { FastifyDrainOptions, DrainSignal, Handover, HandoverSignal, Health, KeepAlive, ReportFile } from './lib/options.ts'
export type { Behind } from './lib/behind.ts'
export type { DrainPhase, DrainReport, Straggler } from './lib/report.ts'
export type { DrainReportFile, RecordedConnection } from './lib/timeline.ts'
export type { ConnectionOutcome, ConnectionState } from './lib/connection.ts'
export type { ConnectionCounts } from './lib/connections.ts'
export type { ConnectionCloseMessage, ConnectionOpenMessage, ConnectionStateMessage, PhaseMessage, ReportMessage } from './lib/diagnostics.ts'
export type { RouteDrainOptions } from './lib/route-options.ts'
