import type { Socket } from 'node:net'

interface Handled {
  _handle?: { reading?: boolean, readStart? (): number, readStop? (): number } | null
}

/** Whether nothing has stopped its reads. */
export function isReading (socket: Socket): boolean {
  return (socket as Handled)._handle?.reading === true
}

/** Lets bytes of the peer, and its FIN, come in again where something below the stream has stopped that. */
export function restartReads (socket: Socket): void {
  const { _handle: handle } = socket as Handled
  if (handle?.readStart === undefined || handle.readStop === undefined || socket.readableEnded) return
  // On Node 20 to start what is started is an error.
  handle.readStop()
  handle.readStart()
  handle.reading = true
}
