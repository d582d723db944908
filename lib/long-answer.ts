import type { ServerHttp2Stream } from 'node:http2'
import type { Readable, Writable } from 'node:stream'
import type { Clock } from './clock.ts'
import { EventBoundary } from './event-boundary.ts'
import { headOf, type Answer } from './protocols/head.ts'
import { isStream } from './protocols/http2.ts'

// How long an event may stay half written, in ms.
const patience = 1000

const eventStream = 'text/event-stream'

export interface LongAnswerEnv {
  clock: Clock
  /** The media types that may be ended. */
  contentTypes: readonly string[]
  /** What goes out in front of the end of an event stream. */
  lastLine (): string
  /** Why it is ended, for callbacks of later writes. */
  reason (): unknown
}

export interface LongAnswerEvents {
  /** Its head is out, and it may be ended. */
  onHead (): void
  onClose (): void
}

type Write = (chunk: unknown, ...rest: unknown[]) => boolean
type End = (...args: unknown[]) => unknown

/** What the answer is written to: on HTTP/2 the stream below, which handlers may use as well. */
type Target = Pick<Writable, 'destroyed' | 'writableEnded' | 'on' | 'once'> & { write: Write, end: End, flushHeaders?: End, respond?: End }

/**
 * One answer that can be ended from outside while its handler still writes, whether by `reply.send(stream)`, by
 * `reply.raw` or by a plugin. What is written to an answer has no event, so its own write() and end() have ours in front.
 */
export class LongAnswer {
  readonly #answer: Answer
  readonly #target: Target
  readonly #env: LongAnswerEnv
  readonly #events: LongAnswerEvents
  readonly #write: Write
  readonly #end: End
  readonly #writables: Writable[]
  readonly #sources = new Set<Readable>()
  /** `null`: no head yet, or one that says that it must not be ended. */
  #type: string | null = null
  #hasHead = false
  #boundary: EventBoundary | null = null
  #waiting = false
  #ended = false
  #cancel = () => {}

  constructor (answer: Answer, env: LongAnswerEnv, events: LongAnswerEvents) {
    this.#answer = answer
    this.#env = env
    this.#events = events
    const target = this.#target = (isStream(answer) ? (answer as { stream: ServerHttp2Stream }).stream : answer) as unknown as Target
    this.#write = target.write
    target.write = (chunk, ...rest) => this.#written(chunk, rest)
    this.#end = target.end
    target.end = (...args) => this.#ended ? this.#endedAgain(args) : this.#end.apply(target, args)
    // Whoever has nothing to write yet sends the head alone.
    const name = isStream(answer) ? 'respond' : 'flushHeaders'
    const sendHead = target[name] as End
    target[name] = (...args) => {
      const result = sendHead.apply(target, args)
      this.#lookAtHead()
      return result
    }
    this.#writables = [...new Set<unknown>([answer, target])] as Writable[]
    for (const writable of this.#writables) {
      writable.on('pipe', (source: Readable) => this.#sources.add(source))
      writable.on('unpipe', (source: Readable) => this.#sources.delete(source))
    }
    // The answer itself has no such event after HEAD over HTTP/2.
    target.once('close', () => {
      this.#cancel()
      events.onClose()
    })
  }

  /** Ends it, in the middle of no event. One that has no head yet, or must not be ended, goes on. */
  end (): void {
    this.#lookAtHead()
    if (this.#type === null || this.#waiting) return
    if (this.#boundary?.isReached !== false) return this.#finish()
    this.#waiting = true
    this.#cancel = this.#env.clock.after(patience, () => this.#finish())
  }

  #lookAtHead (): void {
    if (this.#hasHead) return
    const header = headOf(this.#answer)
    if (header === null) return
    this.#hasHead = true
    this.#type = endableType(header, this.#env.contentTypes)
    if (this.#type === eventStream) this.#boundary = new EventBoundary()
    if (this.#type !== null) this.#events.onHead()
  }

  #written (chunk: unknown, rest: unknown[]): boolean {
    if (this.#waiting) return this.#writtenLast(bytesOf(chunk, rest), rest)
    const result = this.#write.call(this.#target, chunk, ...rest)
    this.#lookAtHead()
    this.#boundary?.read(bytesOf(chunk, rest))
    return result
  }

  #writtenLast (bytes: Uint8Array, rest: unknown[]): boolean {
    const boundary = this.#boundary as EventBoundary
    const last = boundary.rest(bytes)
    const result = this.#write.call(this.#target, bytes.subarray(0, last), callbackOf(rest))
    if (boundary.isReached) this.#finish()
    return result
  }

  // Node would emit an error that hardly any handler listens to. One that waits for 'drain' would wait for ever.
  #writtenAfterEnd (chunk: unknown, rest: unknown[]): boolean {
    if (this.#target.destroyed) return this.#write.call(this.#target, chunk, ...rest)
    const callback = callbackOf(rest)
    if (callback !== undefined) process.nextTick(callback, this.#env.reason())
    return true
  }

  #endedAgain (args: unknown[]): unknown {
    const callback = callbackOf(args)
    if (callback !== undefined) process.nextTick(callback)
    return this.#target
  }

  #finish (): void {
    this.#cancel()
    if (this.#answer.writableEnded || this.#target.writableEnded || this.#target.destroyed) return
    // A source that is never full would not let go of the event loop any more.
    for (const source of [...this.#sources]) for (const writable of this.#writables) source.unpipe(writable)
    const hint = this.#boundary === null || this.#answer.req.method === 'HEAD' ? '' : this.#env.lastLine()
    if (hint !== '') this.#write.call(this.#target, this.#boundary?.isReached === true ? `${hint}\n` : `\n${hint}`)
    // First of all, because listeners of 'prefinish' are called while it ends. To the answer of HTTP/2, too, because a late
    // write to that would reset its stream.
    this.#ended = true
    for (const writable of this.#writables) writable.write = (chunk: unknown, ...rest: unknown[]) => this.#writtenAfterEnd(chunk, rest)
    if (isStream(this.#answer)) this.#answer.end()
    this.#end.call(this.#target)
  }
}

// A body with a length would look broken, and one with an encoding would be.
function endableType (header: (name: string) => string | undefined, contentTypes: readonly string[]): string | null {
  if (header('content-length') !== undefined) return null
  if ((header('content-encoding') ?? 'identity') !== 'identity') return null
  const type = header('content-type')?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  return contentTypes.includes(type) ? type : null
}

function bytesOf (chunk: unknown, [encoding]: unknown[]): Uint8Array {
  return typeof chunk === 'string' ? Buffer.from(chunk, typeof encoding === 'string' ? encoding as BufferEncoding : 'utf8') : chunk as Uint8Array
}

function callbackOf (args: unknown[]): (() => void) | undefined {
  return args.find((arg): arg is () => void => typeof arg === 'function')
}
