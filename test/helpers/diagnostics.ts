import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { channelNames } from '../../lib/diagnostics.ts'
import { eventually } from './app.ts'

interface Teardown { teardown (fn: () => unknown): void }

type Channel = keyof typeof channelNames

export interface Heard {
  /** What was published so far. */
  readonly messages: Array<{ channel: Channel, message: any }>
  /** What each connection went through, in the order in which they were first heard of: `open`, states, the outcome. */
  readonly lives: string[][]
  /** Resolves when a message like this has come. */
  hears (channel: Channel, fits?: Record<string, unknown>): Promise<any>
  /** Hears no more. */
  stop (): void
}

/** Subscribes to these channels, or to all of them, until the end of the test. */
export function hear (t: Teardown, ...channels: Channel[]): Heard {
  const messages: Heard['messages'] = []
  const wanted = channels.length > 0 ? channels : Object.keys(channelNames) as Channel[]
  const subscribers = wanted.map(channel => {
    const subscriber = (message: unknown): void => { messages.push({ channel, message }) }
    subscribe(channelNames[channel], subscriber)
    return [channelNames[channel], subscriber] as const
  })
  const stop = (): void => { for (const [name, subscriber] of subscribers) unsubscribe(name, subscriber) }
  t.teardown(stop)
  return {
    messages,
    get lives () { return lives(messages) },
    async hears (channel, fits = {}) {
      const find = () => messages.find(each => each.channel === channel && Object.entries(fits).every(([name, value]) => each.message[name] === value))
      await eventually(() => find() !== undefined, `a message on ${channel} with ${JSON.stringify(fits)}`)
      return find()?.message
    },
    stop
  }
}

function lives (messages: Heard['messages']): string[][] {
  const byId = new Map<number, string[]>()
  for (const { channel, message } of messages) {
    if (message.id === undefined) continue
    const life = byId.get(message.id) ?? []
    byId.set(message.id, life)
    life.push(channel === 'state' ? message.state : channel === 'close' ? message.outcome : channel)
  }
  return [...byId.values()]
}
