import type { Worker } from 'node:cluster'
import { describe, expect, test } from 'tstyche'
import { replaceWorker, type ReplaceOptions } from '../lib/cluster.ts'

declare const worker: Worker

describe('the part for the primary of a cluster', () => {
  test('a worker is replaced by another one', () => {
    expect(replaceWorker(worker)).type.toBe<Promise<Worker>>()
    expect(replaceWorker).type.toBeCallableWith(worker, { env: { PORT: 3000 } })
    expect(replaceWorker).type.not.toBeCallableWith()
    expect(replaceWorker).type.not.toBeCallableWith(worker.id)
    expect<ReplaceOptions>().type.toBeAssignableFrom<{}>()
  })
})
