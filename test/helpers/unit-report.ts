import type { ConnectionOutcome } from '../../lib/connection.ts'
import { isStraggler } from '../../lib/picture/states.ts'
import type { DrainReportFile, RecordedConnection } from '../../lib/timeline.ts'

/** A connection that was idle, and closed by both sides after a second. */
export function recorded (more: Partial<RecordedConnection> = {}): RecordedConnection {
  return {
    remoteAddress: '127.0.0.1',
    remotePort: 40_000,
    acceptedAt: -500,
    states: [[0, 'idle'], [1000, 'lingering']],
    omittedChanges: 0,
    endedAt: 1010,
    outcome: 'half-closed',
    method: null,
    route: null,
    ...more
  }
}

/** A report of a drain of these connections. */
export function reportOf (connections: RecordedConnection[], more: Partial<DrainReportFile> = {}): DrainReportFile {
  const duration = Math.max(0, ...connections.map(({ endedAt }) => endedAt ?? 0))
  const count = (outcome: ConnectionOutcome): number => connections.filter(connection => connection.outcome === outcome).length
  return {
    reason: 'SIGTERM',
    startedAt: '2030-01-02T03:04:05.678Z',
    duration,
    phases: [{ phase: 'lame-duck', at: 0, duration: 0 }, { phase: 'draining', at: 0, duration }, { phase: 'closed', at: duration, duration: 0 }],
    connections: {
      total: connections.length,
      'peer-closed': count('peer-closed'),
      'half-closed': count('half-closed'),
      'timed-out': count('timed-out'),
      cut: count('cut'),
      'handed-over': count('handed-over'),
      'peer-lost': count('peer-lost'),
      destroyed: count('destroyed')
    },
    requests: { served: 0 },
    stragglers: connections.filter(isStraggler).map(({ remoteAddress, remotePort, method, route, outcome }) => ({
      remoteAddress, remotePort, method, route, age: 1500, state: 'active', outcome: outcome ?? 'cut', error: null, unacknowledgedBytes: null, streams: 0
    })),
    timeline: { connections },
    ...more
  }
}

/** A crowd in which every kind of end occurs: one in ten is cut in the middle of a request. */
export function crowd (count: number): RecordedConnection[] {
  return Array.from({ length: count }, (_, i) => recorded({
    remotePort: 1024 + i,
    ...i % 10 === 0
      ? { states: [[0, 'active']], endedAt: 3000, outcome: 'cut', method: 'GET', route: `/reports/${i}` }
      : { states: [[0, 'idle'], [i % 1000, 'active'], [i % 1000 + 7, 'idle']], endedAt: i % 1000 + 20, outcome: 'peer-closed', method: 'POST', route: '/items' }
  }))
}
