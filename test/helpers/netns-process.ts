import type { DrainReport } from '../../index.ts'
import type { ConnectionDescription, ToClient } from '../fixtures/netns-client.ts'
import type { AppDescription, ToServer } from '../fixtures/netns-server.ts'
import type { Host } from './netns.ts'
import { startProcess, type StartedProcess } from './process.ts'

interface Test { teardown (fn: () => unknown): void }

export interface Service {
  pid: number
  /** By name. */
  apps: Record<string, AppDescription & { port: number }>
  /** Resolves when the handler of this request runs. */
  requested (name: string, url: string): Promise<void>
  /** Lets the handlers of `/late` answer. */
  answer (): void
  /** When a connection of this app was closed, as Date.now(). */
  closed (name: string): Promise<number>
  /** Begins the drain of these apps; without names, of all. */
  drain (...names: string[]): void
  drained (name: string): Promise<DrainReport>
  sumUp (): Promise<{
    /** Errors that nobody caught. */
    uncaught: string[]
    /** app.drain.lostPeers by app. */
    lostPeers: Record<string, number>
    logs: Record<string, Array<{ level: number, msg: string }>>
  }>
}

/** Starts the fixture `netns-server.ts` in a namespace; resolves when all its apps listen. */
export async function startService (
  t: Test, host: Host, apps: Record<string, AppDescription>, nodeArgs: readonly string[] = []
): Promise<Service> {
  const started = start(t, host, 'netns-server.ts', { nodeArgs: [...nodeArgs], args: [JSON.stringify(apps)] })
  const told = (type: string, fits: (message: any) => boolean = () => true): Promise<any> =>
    started.message(message => message.type === type && fits(message))
  const send = (message: ToServer): void => { started.child.send(message) }
  const { ports } = await told('listening')
  return {
    pid: started.pid,
    apps: Object.fromEntries(Object.entries(apps).map(([name, app]) => [name, { ...app, port: ports[name] }])),
    async requested (name, url) { await told('request', message => message.name === name && message.url === url) },
    answer () { send({ answer: true }) },
    async closed (name) { return (await told('closed', message => message.name === name)).at },
    drain (...names) { send({ drain: names.length > 0 ? names : Object.keys(apps) }) },
    async drained (name) { return (await told('drained', message => message.name === name)).report },
    async sumUp () {
      send({ sumUp: true })
      return await told('sum')
    }
  }
}

export interface Peer {
  /** Opens a connection under a name; its local port. */
  open (id: string, to: ConnectionDescription): Promise<number>
  /** Sends a GET request for this path. */
  ask (id: string, path: string): void
  /** Our FIN. */
  end (id: string): void
  /** close() */
  destroy (id: string): void
  /** Resolves when what was received fits. */
  received (id: string, fits: RegExp): Promise<string>
  /** The code of the error that ended the connection. */
  failed (id: string): Promise<string>
}

/** Starts the fixture `netns-client.ts` in a namespace. */
export async function startPeer (t: Test, host: Host): Promise<Peer> {
  const started = start(t, host, 'netns-client.ts')
  const send = (message: ToClient): void => { started.child.send(message) }
  const told = (type: string, id?: string, fits: (message: any) => boolean = () => true): Promise<any> =>
    started.message(message => message.type === type && message.id === id && fits(message))
  await told('ready')
  return {
    async open (id, to) {
      send({ id, open: to })
      return (await told('open', id)).localPort
    },
    ask (id, path) { send({ id, ask: path }) },
    end (id) { send({ id, close: 'end' }) },
    destroy (id) { send({ id, close: 'destroy' }) },
    async received (id, fits) { return (await told('received', id, ({ received }) => fits.test(received))).received },
    async failed (id) { return (await told('failed', id)).error }
  }
}

function start (t: Test, { under }: Host, fixture: string, options: { nodeArgs?: string[], args?: string[] } = {}): StartedProcess {
  return startProcess(t, new URL(`../fixtures/${fixture}`, import.meta.url), { under, ...options })
}
