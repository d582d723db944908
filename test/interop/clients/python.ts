import { fileURLToPath } from 'node:url'
import { missing, program, type Client } from '../client.ts'

// Debian's, which sees Debian's packages.
const python = '/usr/bin/python3'

function pythonClient (id: string, name: string, module: string, script: string): Client {
  return {
    id,
    name,
    kinds: ['http', 'https'],
    missing: missing(python, ['-c', `import ${module}`]),
    tellsIds: true,
    start: (target, pace) => program([python, '-B', fileURLToPath(new URL(script, import.meta.url))], id, target, pace)
  }
}

export const pythonClients = [
  pythonClient('python-http', 'Python http.client', 'http.client', 'python_http.py'),
  pythonClient('python-requests', 'Python requests', 'requests', 'python_requests.py'),
  pythonClient('python-aiohttp', 'Python aiohttp', 'aiohttp', 'python_aiohttp.py')
]
