/** What Node reads of the options of listen(). */
export interface ListenOptions {
  host?: string | undefined
  port?: number | string | undefined
  path?: string | undefined
  fd?: number | undefined
  ipv6Only?: boolean | undefined
  reusePort?: boolean | undefined
}

/** Changes what this listen() does. The object belongs to the user, and Fastify listens with a copy of it again. */
export function override (options: ListenOptions, changes: ListenOptions): void {
  const before = Object.keys(changes).map(name => [name, Object.getOwnPropertyDescriptor(options, name)] as const)
  Object.assign(options, changes)
  process.nextTick(() => {
    for (const [name, descriptor] of before) {
      if (descriptor === undefined) delete (options as Record<string, unknown>)[name]
      else Object.defineProperty(options, name, descriptor)
    }
  })
}
