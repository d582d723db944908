import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

type Content = string | string[] | Error

/** What an attempt to read throws. */
export function fsError (code: string): Error {
  return Object.assign(new Error(`${code}: as the test wants it`), { code })
}

const { openSync, readFileSync, closeSync } = fs

/** What is really there, whatever is replaced. */
export function readReally (path: string): string {
  const fd = openSync(path, 'r')
  try { return readFileSync(fd, 'latin1') } finally { closeSync(fd) }
}

/** Until teardown reading these paths, files or folders or links, gives what is said here, or throws it; others are read as ever. */
export function replaceFs (t: { teardown (fn: () => unknown): void }, contents: Record<string, Content | (() => Content)>): void {
  const undo = [
    ...(['readFileSync', 'readdirSync', 'readlinkSync'] as const).map(name => replace(fs, name, contentOf)),
    replace(fs, 'openSync', path => openSync(fileWith(contentOf(path)), 'r'))
  ]
  syncBuiltinESMExports()
  t.teardown(() => {
    for (const restore of undo) restore()
    syncBuiltinESMExports()
  })

  function fileWith (content: Content): string {
    const folder = fs.mkdtempSync(join(tmpdir(), 'fastify-drain-'))
    t.teardown(() => fs.rmSync(folder, { recursive: true }))
    fs.writeFileSync(join(folder, 'file'), String(content))
    return join(folder, 'file')
  }

  function contentOf (path: string): Content {
    const given = contents[path]
    const content = typeof given === 'function' ? given() : given
    if (content instanceof Error) throw content
    return content as Content
  }

  function replace (owner: object, name: string, read: (path: string) => unknown): () => void {
    const functions = owner as Record<string, (...args: any[]) => unknown>
    const before = functions[name]!
    functions[name] = (...args) => args[0] in contents ? read(args[0]) : before(...args)
    return () => { functions[name] = before }
  }
}
