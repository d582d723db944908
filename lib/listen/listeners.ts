import cluster from 'node:cluster'
import { rmSync } from 'node:fs'
import type { Server } from 'node:net'
import { constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'
import type { Clock } from '../clock.ts'
import type { Luggage } from '../connection.ts'
import { errors } from '../errors.ts'
import { keepAlive } from '../keep-alive.ts'
import type { Settings } from '../options.ts'
import { addressOf, tcpAddressOf } from '../os/address.ts'
import { descriptorOf, isUnixSocket, nameUnixListener } from '../os/descriptor.ts'
import { abandon, type Handle } from '../os/handle.ts'
import { errnoOf, type Native } from '../os/native.ts'
import { bindShared } from '../os/reuse-port.ts'
import type { Sockets } from '../os/sockets.ts'
import type { Log } from '../progress.ts'
import { explainInUse } from './address-in-use.ts'
import { addressInWords, adopt, otherAppsPatience, type Inherited, type PassedListener } from './inherited.ts'
import { acceptUntilQuiet } from './leave-listener.ts'
import { override, type ListenOptions } from './override.ts'
import { forgottenByPrimary, isServedByPrimary } from './primary.ts'
import { refuseListen } from './refuse-listen.ts'
import { joinGroup, leaveGroup } from './reuse-port.ts'

export interface ListenersEnv {
  settings: Settings
  native: Native | null
  sockets: Sockets
  clock: Clock
  log: Log
  inherited: Inherited[]
  /** Whether the process that has passed listeners still has them as well. */
  areShared? (): boolean
  /** Gives a server of the app a connection that another process has accepted. */
  receive (server: Server, handle: Handle, luggage: Luggage): void
}

/** How the servers of one app come to listen, and how each of them stops. */
export class Listeners {
  readonly #env: ListenersEnv
  readonly #shared = new WeakSet<Server>()
  readonly #names = new WeakMap<Server, { name: string, anyPort: boolean }>()
  /** Unix sockets that came from a predecessor, so that Node does not know of their files. */
  readonly #files = new WeakMap<Server, string>()
  #inherits = false
  #cancelTelling = () => {}

  constructor (env: ListenersEnv) {
    this.#env = env
  }

  /** A server begins to listen: decides on what. `isMain`: it is not the second one of `localhost`. */
  prepare (server: Server, options: ListenOptions, isMain: boolean): void {
    const listening = (): void => {
      server.off('error', failed)
      this.#listening(server)
    }
    const failed = (error: Error): void => {
      server.off('listening', listening)
      explainInUse(error)
    }
    server.prependOnceListener('listening', listening)
    server.prependOnceListener('error', failed)

    this.#names.set(server, { name: '', anyPort: options.path === undefined && Number(options.port ?? 0) === 0 })
    // The user has a listener already.
    if (typeof options.fd === 'number') return
    const error = this.#inherit(server, options, isMain) ?? (this.#env.settings.reusePort && !this.#inherits ? this.#share(server, options) : null)
    if (error !== null) refuseListen(server, options, error)
  }

  #listening (server: Server): void {
    const { settings, sockets, log } = this.#env
    if (settings.keepAlive !== false) {
      keepAlive(server, settings.keepAlive, sockets, error => log.warn({ err: error }, 'listen: TCP keepalive cannot be set'))
    }
    this.#tell(server)
    if (this.#shared.has(server) && this.#steers) this.#join(server)
  }

  #inherit (server: Server, options: ListenOptions, isMain: boolean): Error | null {
    const { settings: { listenFdName: name }, inherited, log } = this.#env
    const found = adopt(inherited, options, isMain ? name : false, isMain)
    if (found !== null) {
      const { fd, name, isPassed = false, ofPrimary = false } = found
      found.receive = (handle, luggage) => this.#env.receive(server, handle, luggage)
      this.#names.set(server, { name, anyPort: found.anyPort === true })
      if (ofPrimary) return null
      this.#inherits = true
      override(options, { fd: found.fd })
      if ('path' in found.at) nameUnixListener(server, found.at.path)
      // With a name it is the service manager's, and its file, too; a name in the abstract namespace has none.
      if ('path' in found.at && isPassed && name === '' && !found.at.path.startsWith('\0')) this.#files.set(server, found.at.path)
      if (isPassed && this.#env.settings.reusePort && 'port' in found.at) this.#shared.add(server)
      log.info({ fd, name }, `listen: on the inherited descriptor ${fd}${name === '' ? '' : ` (${name})`}, ${addressInWords(found.at)}`)
      return null
    }
    if (!isMain) return this.#inherits ? new errors.Inherited('an inherited listener serves localhost', 'a second one is not needed') : null
    if (name === false || inherited.length === 0) return null
    return new errors.Inherited(`option "listenFdName" is '${name}', and no inherited listener with that name is left`, `there are ${inherited.map(inWords).join('; ')}`)
  }

  #share (server: Server, options: ListenOptions): Error | null {
    if (options.path !== undefined) return new errors.ReusePort(`the Unix socket ${options.path}`)
    const way = this.#wayToShare()
    if (way === 'none') return null
    if (way === 'node') override(options, { reusePort: true })
    else {
      try {
        const fd = bindShared(this.#env.native as Native, options.host || '::', Number(options.port), options.ipv6Only === true)
        // Node's own look-up fails, too, and says so.
        if (fd === null) return null
        override(options, { fd })
      } catch (error) {
        return likeNode(error, options)
      }
    }
    this.#shared.add(server)
    return null
  }

  #wayToShare (): 'node' | 'native' | 'none' {
    if (nodeSharesPorts) return 'node'
    // There it is the primary that binds.
    return this.#steers && !cluster.isWorker ? 'native' : 'none'
  }

  get #steers (): boolean {
    return this.#env.native?.has('SO_ATTACH_REUSEPORT_CBPF') ?? false
  }

  async #join (server: Server): Promise<void> {
    try {
      await joinGroup(server, this.#groupEnv)
    } catch (error) {
      if (server.listening) this.#env.log.warn({ err: error }, 'listen: the other listeners of the port may still keep new connections to themselves')
    }
  }

  /** What a successor gets of those of these servers that listen. */
  passed (servers: Iterable<Server>): Map<Server, PassedListener> {
    const passed = new Map<Server, PassedListener>()
    for (const server of servers) {
      const known = { name: '', anyPort: false, ...this.#names.get(server) }
      const fd = descriptorOf(server)
      // The other worker asks their primary for the same address.
      if (cluster.isWorker && server.listening) passed.set(server, { fd: 0, ...known, at: addressOf(server) })
      else if (fd !== null) passed.set(server, { fd, ...known })
    }
    return passed
  }

  /** Stops listening on what a successor listens on as well. */
  async leaveTo (server: Server, stop: () => void): Promise<void> {
    // What it has in common with that one is the primary.
    if (cluster.isWorker) return this.leave(server, stop)
    if (isUnixSocket(server)) abandon(server)
    stop()
  }

  /** Stops listening, by `stop`, so that no connection is lost. */
  async leave (server: Server, stop: () => void): Promise<void> {
    await this.#leave(server, () => {
      // Before it closes, as Node does with its own: afterwards the file may be somebody else's, who listens there by then.
      const file = this.#files.get(server)
      if (file !== undefined && this.#env.areShared?.() !== true) rmSync(file, { force: true })
      stop()
    })
  }

  async #leave (server: Server, stop: () => void): Promise<void> {
    if (this.#shared.has(server) && this.#steers && server.listening) {
      try {
        return await leaveGroup(server, stop, this.#groupEnv)
      } catch (error) {
        if (server.listening) {
          this.#env.log.warn({ err: error }, 'drain: new connections cannot be sent to the other listeners of the port; one that comes at the wrong moment will be reset')
        }
      }
    }
    const fromPrimary = isServedByPrimary(server)
    await acceptUntilQuiet(server, this.#env.clock)
    stop()
    if (fromPrimary) await forgottenByPrimary(this.#env.clock)
  }

  get #groupEnv (): { native: Native, sockets: Sockets, clock: Clock } {
    const { native, sockets, clock } = this.#env
    return { native: native as Native, sockets, clock }
  }

  #tell (server: Server): void {
    const { sockets, log } = this.#env
    const at = tcpAddressOf(server)
    if (at === null) return
    const reusesAddress = sockets.reusesAddress(server)
    if (reusesAddress !== null) {
      log.debug({ reusesAddress }, `listen: ${addressInWords(at)} with SO_REUSEADDR ${reusesAddress ? 'on' : 'off'}`)
    }
  }

  /** Warns, a while later, of inherited listeners that nobody has asked for: who connects there waits for ever. */
  tellOfUnused (): void {
    const { inherited, clock, log } = this.#env
    this.#cancelTelling()
    this.#cancelTelling = clock.after(otherAppsPatience, () => {
      for (const one of inherited.filter(({ taken, told, isPassed }) => !taken && !told && !isPassed)) {
        one.told = true
        log.warn({ fd: one.fd, name: one.name }, `listen: nobody has asked for the inherited listener ${inWords(one)}; pass its address to app.listen(), or its name as the option listenFdName`)
      }
    })
  }

  /** The app closes. */
  closing (): void {
    this.#cancelTelling()
  }
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

/** Whether listen({ reusePort: true }) means anything to this Node, and to libuv on this platform. */
export const nodeSharesPorts = (major > 22 || (major === 22 && minor >= 12)) && !['darwin', 'win32'].includes(process.platform)

function inWords ({ fd, name, at }: Inherited): string {
  return `${fd}${name === '' ? '' : ` (${name})`}, ${addressInWords(at)}`
}

/** An error of the kernel in the form in which listen() gives it. */
function likeNode (error: unknown, { host, port }: ListenOptions): Error {
  const code = errnoOf(error)
  if (typeof code !== 'string' || !(code in constants.errno)) return error as Error
  const errno = -constants.errno[code as keyof typeof constants.errno]
  const [, text = ''] = getSystemErrorMap().get(errno) ?? []
  return Object.assign(new Error(`listen ${code}: ${text} ${host ?? ''}:${port}`, { cause: error }), {
    code, errno, syscall: 'listen', address: host, port: Number(port)
  })
}
