import { execFile, spawnSync } from 'node:child_process'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { Agent, request as undiciRequest } from 'undici'

export type Upload = { status: number, body: string } | { error: string }

export interface Uploader {
  name: string
  /** Why it cannot be used here. */
  missing: string | false
  /** Sends the same body to each URL, one after the other, each on a connection of its own. */
  upload (urls: string[], contentType: string, body: Buffer): Promise<Upload[]>
}

/** Clients that differ in what they do when an answer comes before they have sent everything. */
export const uploaders: Uploader[] = [
  { name: 'node http', missing: false, upload: each(nodeUpload) },
  { name: 'undici', missing: false, upload: each(undiciUpload) },
  { name: 'curl', missing: missing('curl', '--version'), upload: each(curlUpload) },
  { name: 'Python http.client', missing: missing('python3', '--version'), upload: pythonUploads }
]

// Where everything has to be tested, a missing client is a failing test.
function missing (program: string, argument: string): string | false {
  if (process.env['CI'] === 'true' || spawnSync(program, [argument]).status === 0) return false
  return `${program} is not installed`
}

type OneUpload = (url: string, contentType: string, body: Buffer) => Promise<Upload>

function each (upload: OneUpload): Uploader['upload'] {
  return async (urls, contentType, body) => {
    const results: Upload[] = []
    for (const url of urls) results.push(await upload(url, contentType, body).catch(error => ({ error: String(error) })))
    return results
  }
}

function nodeUpload (url: string, contentType: string, body: Buffer): Promise<Upload> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': contentType, 'content-length': body.length }
    request(url, { method: 'POST', agent: false, headers, timeout: 20_000 }, async answer => {
      resolve({ status: answer.statusCode ?? 0, body: await text(answer).catch(String) })
    }).on('error', reject).on('timeout', () => reject(new Error('no answer within 20 s'))).end(body)
  })
}

async function undiciUpload (url: string, contentType: string, body: Buffer): Promise<Upload> {
  const dispatcher = new Agent({ headersTimeout: 20_000, bodyTimeout: 20_000 })
  try {
    const answer = await undiciRequest(url, { method: 'POST', dispatcher, headers: { 'content-type': contentType }, body })
    return { status: answer.statusCode, body: await answer.body.text() }
  } finally {
    await dispatcher.destroy()
  }
}

async function curlUpload (url: string, contentType: string, body: Buffer): Promise<Upload> {
  // With `Expect: 100-continue`, its habit, it would not begin to send the body.
  const args = ['-sS', '--max-time', '20', '-w', '\n%{http_code}', '-H', 'Expect:', '-H', `Content-Type: ${contentType}`, '--data-binary', '@-', url]
  const lines = (await run('curl', args, body)).split('\n')
  return { status: Number(lines.pop()), body: lines.join('\n') }
}

async function pythonUploads (urls: string[], contentType: string, body: Buffer): Promise<Upload[]> {
  const script = fileURLToPath(new URL('../fixtures/http1-upload.py', import.meta.url))
  const lines = await run('python3', [script, contentType, String(body.length), ...urls])
  return lines.trim().split('\n').map(line => JSON.parse(line))
}

function run (program: string, args: string[], input: Buffer | string = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const { stdin } = execFile(program, args, { timeout: 60_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${program} ended with ${error.code}: ${stderr}${stdout}`))
    })
    // It may end without having read everything.
    stdin?.on('error', () => {}).end(input)
  })
}
