import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

type Content = string | string[] | Error

/** What an attempt to read throws. */
export function fsError (code: string): Error {
  return Object.assign(new Error(`${code}: as the test wants it`), { code })
}

/** Until teardown reading these paths, files or folders or links, gives what is said here, or throws it; others are read as ever. */
export function replaceFs (t: { teardown (fn: () => unknown): void }, contents: Record<string, Content | (() => Content)>): void {
  const { openSync } = fs
  const undo = [
    ...(['readFileSync', 'readdirSync', 'readlinkSync'] as const).map(name => replace(fs, name, contentOf)),
    replace(fs, 'openSync', path => openSync(fileWith(contentOf(path) as string), 'r'))
  ]
  syncBuiltinESMExports()
  t.teardown(() => {
    for (const restore of undo) restore()
    syncBuiltinESMExports()
  })

  function fileWith (content: string): string {
    const folder = fs.mkdtempSync(join(tmpdir(), 'fastify-drain-'))
    t.teardown(() => fs.rmSync(folder, { recursive: true }))
    const path = join(folder, 'file')
    fs.writeFileSync(path, content)
    return path
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
