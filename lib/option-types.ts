import type { Behind } from './behind.ts'
import type { KeepAliveOptions } from './os/sockets.ts'

/** Options of the plugin. Every time is in whole milliseconds. */
export interface FastifyDrainOptions {
  /**
   * Signals that begin a drain and end the process, through close-with-grace, installed when the app listens.
   * `false`: none, and uncaught errors are left alone as well.
   * @default ['SIGTERM', 'SIGINT']
   */
  signals?: readonly DrainSignal[] | false
  /**
   * Length of the lame-duck phase, in ms: readiness fails, everything is still served.
   * @default 5000 where KUBERNETES_SERVICE_HOST is set (at most half of hardStopAfter), else 0
   */
  shutdownDelay?: number
  /**
   * How long after the drain began an idle connection may bring one more request, in ms.
   * @default 1000
   */
  idleGrace?: number
  /**
   * Window over which the closes of idle connections are spread, in ms.
   * @default 0
   */
  closeSpread?: number
  /**
   * How long the peer may close first after an answer that said `Connection: close`, in ms.
   * @default 250
   */
  peerCloseTimeout?: number
  /**
   * A lingering close ends after this much silence of the peer, in ms.
   * @default 2000
   */
  lingerTimeout?: number
  /**
   * A lingering close ends after this time in total, in ms, also if the peer still sends. While something is in flight that
   * the peer has not acknowledged, it goes on until nothing has come from it for twice this time.
   * @default 5000
   */
  lingerTime?: number
  /**
   * The deadline, in ms since the drain began: what is left then is cut. `false`: none.
   * @default 25000
   */
  hardStopAfter?: number | false
  /**
   * How connections are cut at the deadline: `'destroy'` closes them, `'reset'` sends RST.
   * @default 'destroy'
   */
  hardStop?: 'destroy' | 'reset'
  /**
   * TCP keepalive of every connection, which finds peers that have vanished; `false`: the sockets are left alone.
   * @default { idle: 60000, interval: 10000, count: 6 }
   */
  keepAlive?: KeepAlive | false
  /**
   * SO_REUSEPORT on every listener of this app: a successor can listen on the same port at the same time.
   * @default false
   */
  reusePort?: boolean
  /**
   * The name (LISTEN_FDNAMES, systemd's FileDescriptorName=) of the inherited descriptors that this app shall listen on,
   * whatever their address; `false`: those whose address it asks for.
   * @default false
   */
  listenFdName?: string | false
  /**
   * A restart in place: the process starts its successor, gives it listeners and connections, and leaves. `true`: with the
   * defaults of `Handover`.
   * @default false
   */
  handover?: Handover | boolean
  /**
   * Routes for the probes of a load balancer or of Kubernetes. Readiness answers 503 from the first moment of a drain, liveness
   * 200 until the end. `true`: with the defaults of `Health`.
   * @default false
   */
  health?: Health | boolean
  /**
   * The proxy or load balancer in front, by name, or how long it keeps an idle connection to us, in ms: the server keeps
   * it longer, so that it is never the server that closes a connection which the proxy is about to use.
   * @default none: keepAliveTimeout stays as the app has it
   */
  behind?: Behind | number | false
  /**
   * The terminationGracePeriodSeconds of the pod, in seconds: `hardStopAfter` has to fit into it. `false`: not known.
   * @default the environment variable TERMINATION_GRACE_PERIOD_SECONDS, else false
   */
  terminationGracePeriodSeconds?: number | false
  /**
   * How long a connection lives, in ms, 10 % more or less: the next answer then says close, an HTTP/2 session gets GOAWAY, and the
   * client finds its way to another replica. `false`: for ever.
   * @default false
   */
  maxConnectionAge?: number | false
  /**
   * After how many requests a connection is ended in the same way; a stream of HTTP/2 is a request. `false`: never.
   * @default false
   */
  maxRequestsPerConnection?: number | false
  /**
   * Where the report of a drain is written: as JSON to `file`, and as a page that shows it to `file` with .html in place of its
   * extension. `false`: nowhere.
   * @default false
   */
  report?: ReportFile | false
}

/** What is left out has its default. */
export interface Health {
  /**
   * Path of the readiness route; `false`: none.
   * @default '/readyz'
   */
  readiness?: string | false
  /**
   * Path of the liveness route; `false`: none.
   * @default '/livez'
   */
  liveness?: string | false
}

export interface ReportFile {
  /** Its folder has to exist, and its name must not end in .html, where the page goes; what was there is replaced. */
  file: string
}

/** What is left out has its default. */
export interface Handover {
  /**
   * The signal that begins it; `false`: none, `app.drain.handover()` does.
   * @default 'SIGUSR2'
   */
  signal?: HandoverSignal | false
  /**
   * How long the successor may take until it listens and is ready, in ms.
   * @default 30000
   */
  readyTimeout?: number
  /**
   * Called in the successor when it listens: it is ready when the promise resolves. When it rejects there is no handover.
   * @default none: it is ready as soon as it listens
   */
  ready?: () => unknown
}

/** See tcp(7). What is left out has its default. */
export interface KeepAlive {
  /**
   * Silence before the first probe (TCP_KEEPIDLE), in ms, whole seconds.
   * @default 60000
   */
  idle?: number
  /**
   * Between two probes (TCP_KEEPINTVL), in ms, whole seconds.
   * @default 10000
   */
  interval?: number
  /**
   * Probes without an answer after which the peer counts as gone (TCP_KEEPCNT).
   * @default 6
   */
  count?: number
  /**
   * How long sent data may stay unacknowledged (TCP_USER_TIMEOUT, Linux), in ms. Where it is set it decides, not `count`,
   * when an idle connection is given up, too.
   * @default the kernel's: retransmissions for about 15 minutes
   */
  userTimeout?: number
}

export type DrainSignal =
  'SIGHUP' | 'SIGINT' | 'SIGQUIT' | 'SIGILL' | 'SIGTRAP' | 'SIGABRT' | 'SIGBUS' |
  'SIGFPE' | 'SIGSEGV' | 'SIGUSR2' | 'SIGTERM'

export type HandoverSignal = 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2' | 'SIGWINCH'

/** The options after validation, with every default filled in. */
export type Settings = Required<Omit<FastifyDrainOptions, 'keepAlive' | 'handover' | 'health'>> & {
  keepAlive: KeepAliveOptions | false
  handover: HandoverSettings | false
  health: Required<Health> | false
}

export type HandoverSettings = Required<Omit<Handover, 'ready'>> & Pick<Handover, 'ready'>
