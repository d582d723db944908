import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const demo = [process.execPath, fileURLToPath(new URL('../../demo/index.js', import.meta.url)), '--clients', '10', '--think', '20,50', '--settle', '300']

/** Has the command run in a terminal, and copies what is written there to stdout. */
const inTerminal = ['python3', '-c', `
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 120, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
try:
    while data := os.read(terminal, 4096):
        os.write(1, data)
except OSError:
    pass
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`]

/** Runs the demo, briefly, and resolves when it has ended. */
export async function runDemo (t: { teardown (fn: () => unknown): void }, flags: string[], { terminal = false } = {}): Promise<{ code: number | null, output: string }> {
  const [file = '', ...args] = [...(terminal ? inTerminal : []), ...demo, ...flags]
  // None of tap's loaders: this is what a user starts.
  const env = { ...process.env, CI: undefined, NO_COLOR: '1', NODE_OPTIONS: '' }
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { output += text })
  const ended = once(child, 'close')
  // Its servers end with it, unless it is killed.
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
  })
  const [code] = await ended
  return { code, output }
}

/** What stands in the last table of the output, by name: the column of Fastify alone, and that of the plugin. */
export function tableIn (output: string): Record<string, string[][]> {
  const rows: Record<string, string[][]> = {}
  let name = ''
  for (const line of output.split('\n').filter(line => line.startsWith('│'))) {
    const [first = '', ...columns] = line.split('│').slice(1, -1).map(cell => cell.trim())
    name = first || name
    rows[name] ??= columns.map(() => [])
    for (const [i, text] of columns.entries()) if (text !== '') rows[name]?.[i]?.push(text)
  }
  return rows
}
