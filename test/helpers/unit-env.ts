import type { Clock } from '../../lib/clock.ts'
import type { ConnectionEnv } from '../../lib/connection.ts'
import type { ConnectionsEnv } from '../../lib/connections.ts'
import { acceptUntilQuiet } from '../../lib/listen/leave-listener.ts'
import type { Native } from '../../lib/os/native.ts'
import { Sockets } from '../../lib/os/sockets.ts'
import { Observers } from '../../lib/observer.ts'
import { UpgradeClosers } from '../../lib/protocols/upgraded.ts'

/** Linger times that no test lives to see. */
export const never = { lingerTimeout: 600_000, lingerTime: 600_000 }

/** What connections need around them, without system calls unless some are given. */
export function plainEnv (clock: Clock, times: ConnectionsEnv['times'] = never, native: Native | null = null): ConnectionsEnv & Pick<ConnectionEnv, 'onHalfClosed'> {
  return {
    clock,
    times,
    sockets: new Sockets(native),
    observer: new Observers([]),
    onHalfClosed () {},
    closers: new UpgradeClosers(error => { throw error }),
    async leave (server, stop) {
      await acceptUntilQuiet(server, clock)
      stop()
    }
  }
}
