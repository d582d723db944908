import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { startProcess } from '../helpers/process.ts'
import type { Teardown } from '../interop/restart.ts'
import type { Scale } from './schedule.ts'

export interface Ended {
  code: number | null
  /** The grace period was over. */
  killed: boolean
  /** From SIGTERM to the exit, in ms. */
  ms: number
}

export interface Pod {
  readonly port: number
  /** What it has done, request by request: ../interop/ledger.ts. */
  readonly ledger: string
  /** Resolves when its readiness route answers 200. */
  start (): Promise<void>
  readiness (): Promise<number>
  /** What the kubelet does: SIGTERM, and SIGKILL when the grace period is over. */
  terminate (): Promise<Ended>
}

/** A process with the plugin, that is loaded and does not listen yet. Killed on teardown. */
export function createPod (t: Teardown, { gracePeriod, shutdownDelay }: Scale, work: number): Pod {
  const folder = mkdtempSync(join(tmpdir(), 'pod-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const ledger = join(folder, 'ledger')
  writeFileSync(ledger, '')
  const options = {
    reusePort: false, shutdownDelay, hardStopAfter: gracePeriod - 1000, terminationGracePeriodSeconds: Math.ceil(gracePeriod / 1000), health: true
  }
  const { child, message, exited } = startProcess(t, new URL('../interop/server.ts', import.meta.url), {
    env: {
      KIND: 'http', LEDGER: ledger, OPTIONS: JSON.stringify(options), WORK: String(work)
    }
  })
  let port = 0

  return {
    get port () { return port },
    ledger,
    readiness: ask,
    async start () {
      await message(({ type }) => type === 'loaded')
      child.send({ port: 0 });
      ({ port } = await message(({ type }) => type === 'listening'))
      while (await ask() !== 200) await sleep(20)
    },
    async terminate () {
      const began = performance.now()
      let killed = false
      const kill = setTimeout(() => { killed = child.kill('SIGKILL') }, gracePeriod)
      child.kill('SIGTERM')
      const { code, at } = await exited
      clearTimeout(kill)
      return { code, killed, ms: Math.round(at - began) }
    }
  }

  async function ask (): Promise<number> {
    const { statusCode, body } = await request(`http://127.0.0.1:${port}/readyz`, { reset: true })
    await body.dump()
    return statusCode
  }
}
