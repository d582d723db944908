import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { missing, program, type Client } from '../client.ts'
import type { ServerKind } from '../restart.ts'

let built: string | null = null

// The standard library is all it needs: nothing is looked up anywhere.
function binary (): string {
  if (built !== null) return built
  const folder = mkdtempSync(join(tmpdir(), 'interop-go-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const { status, stderr } = spawnSync('go', ['build', '-o', folder, '.'], {
    cwd: fileURLToPath(new URL('../go', import.meta.url)),
    env: { ...process.env, GO111MODULE: 'on', GOFLAGS: '-mod=mod', GOPROXY: 'off', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' },
    encoding: 'utf8'
  })
  if (status !== 0) throw new Error(`go build: ${stderr}`)
  built = join(folder, 'interop')
  return built
}

function goClient (id: string, name: string, kinds: ServerKind[]): Client {
  return {
    id,
    name,
    kinds,
    missing: missing('go', ['version']),
    tellsIds: true,
    start: (target, pace) => program([binary()], id, target, pace)
  }
}

export const goClients = [
  goClient('go', 'Go net/http HTTP/1.1', ['http', 'https']),
  goClient('go-h2', 'Go net/http HTTP/2', ['h2'])
]
