import t from 'tap'
import { DockerfileParser, type JSONInstruction } from 'dockerfile-ast'
import { readFileSync } from 'node:fs'
import { rules } from '../lib/option-rules.ts'
import { startExample } from './helpers/example.ts'
import { problems, render, type Manifest } from './helpers/kubernetes.ts'
import { rawClient, request } from './helpers/raw-client.ts'

t.setTimeout(120_000)

const base = render('base')
const one = (manifests: Manifest[], kind: string): Manifest => manifests.find(manifest => manifest.kind === kind)!
const deployment = one(base, 'Deployment')
const { spec: pod } = deployment['spec'].template
const [container] = pod.containers
const graceOf = (manifests: Manifest[]): { seconds: number, told: string } => {
  const { spec } = one(manifests, 'Deployment')['spec'].template
  const { value } = spec.containers[0].env.find(({ name }: { name: string }) => name === 'TERMINATION_GRACE_PERIOD_SECONDS')
  return { seconds: spec.terminationGracePeriodSeconds, told: value }
}
const defaultOf = (name: keyof typeof rules): number => rules[name].default as number

t.test('every object of the example is as the API of Kubernetes wants it', async t => {
  t.same(base.map(({ kind }) => kind).sort(), ['Deployment', 'HorizontalPodAutoscaler', 'PodDisruptionBudget', 'Service'])
  t.same(problems(base), [])
})

t.test('a field that does not exist, a wrong type and a missing field are found', async t => {
  const unknown = structuredClone(deployment)
  unknown['spec'].template.spec.terminationGracePeriod = 30
  const wrong = { ...deployment, spec: { ...deployment['spec'], minReadySeconds: '5' } }
  const { selector, ...spec } = deployment['spec']
  t.ok(selector)
  const found = problems([unknown, wrong, { ...deployment, spec }])
  t.ok(found.some(problem => problem.includes('"terminationGracePeriod"\' does not exist')), 'unknown')
  t.ok(found.some(problem => problem.includes('minReadySeconds must be integer')), 'wrong')
  t.ok(found.some(problem => problem.includes('must have required property selector')), 'missing')
  t.match(problems([{ ...deployment, apiVersion: 'apps/v9' }]).join(), /Cannot find module/)
})

t.test('the app hears of its grace period from the pod, in an overlay, too', async t => {
  t.same(graceOf(base), { seconds: 30, told: '30' })
  const overlay = render('overlays/slow-requests')
  t.same(problems(overlay), [])
  t.same(graceOf(overlay), { seconds: 130, told: '130' })
})

t.test('the times of the pod leave the plugin its time', async t => {
  t.ok(pod.terminationGracePeriodSeconds * 1000 > defaultOf('hardStopAfter'))
  const { periodSeconds, failureThreshold } = container.readinessProbe
  t.ok(periodSeconds * (failureThreshold - 1) * 1000 > 5000, 'until the lame duck is over the endpoint is serving')
  t.equal(container.readinessProbe.httpGet.path, rules.health.members?.['readiness']?.default)
  for (const probe of ['livenessProbe', 'startupProbe']) t.equal(container[probe].httpGet.path, rules.health.members?.['liveness']?.default, probe)
})

t.test('a rolling update takes no pod away before another one is ready, and the autoscaler owns the number of pods', async t => {
  t.same(deployment['spec'].strategy, { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } })
  t.equal(deployment['spec'].replicas, undefined)
  const autoscaler = one(base, 'HorizontalPodAutoscaler')['spec']
  t.match(autoscaler.scaleTargetRef, { kind: 'Deployment', name: deployment.metadata.name })
  t.ok(autoscaler.behavior.scaleDown.stabilizationWindowSeconds > 0)
  t.ok(one(base, 'PodDisruptionBudget')['spec'].maxUnavailable >= 1, 'a node can be drained')
})

t.test('the Service, the budget and the Deployment mean the same pods', async t => {
  const { labels } = deployment['spec'].template.metadata
  t.match(labels, one(base, 'Service')['spec'].selector)
  t.match(labels, one(base, 'PodDisruptionBudget')['spec'].selector.matchLabels)
  t.match(labels, deployment['spec'].selector.matchLabels)
  t.equal(one(base, 'Service')['spec'].ports[0].targetPort, container.ports[0].name)
  for (const { labelSelector } of pod.topologySpreadConstraints) t.match(labels, labelSelector.matchLabels)
})

t.test('the container has no privileges, and cannot write to its file system', async t => {
  t.match(pod.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
  t.match(container.securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } })
  t.equal(container.command, undefined, 'what runs is what the Dockerfile says')
})

t.test('the image runs node itself as process 1, not as root', async t => {
  const dockerfile = DockerfileParser.parse(readFileSync(new URL('../examples/kubernetes/Dockerfile', import.meta.url), 'utf8'))
  const all = dockerfile.getInstructions()
  const last = all.slice(all.findLastIndex(instruction => instruction.getKeyword() === 'FROM'))
  const argumentsOf = (keyword: string): string[] => last.findLast(instruction => instruction.getKeyword() === keyword)?.getArguments().map(String) ?? []
  const command = last.findLast(instruction => instruction.getKeyword() === 'CMD') as JSONInstruction
  t.same(command.getJSONStrings().map(part => JSON.parse(part.getValue())), ['node', 'server.ts'], 'exec form')
  t.notOk(last.some(instruction => instruction.getKeyword() === 'ENTRYPOINT'))
  t.same(argumentsOf('USER'), [`${pod.securityContext.runAsUser}:${pod.securityContext.runAsGroup}`])
  t.same(argumentsOf('EXPOSE'), [String(container.ports[0].containerPort)])

  const copied = all.filter(instruction => instruction.getKeyword() === 'COPY' && !instruction.toString().includes('--from'))
    .flatMap(instruction => instruction.getArguments().map(argument => argument.getValue()).slice(0, -1))
  const ignore = readFileSync(new URL('../examples/kubernetes/.dockerignore', import.meta.url), 'utf8').split('\n')
  t.ok(ignore.includes('*'))
  for (const file of copied) t.ok(ignore.includes(`!${file}`), `${file} is not kept out of the build`)
})

t.test('the server answers a slow request after SIGTERM, and exits with 0', async t => {
  const { example, to } = await startExample(t, 'kubernetes/server', { HOST: '127.0.0.1', HOSTNAME: 'app-1', TERMINATION_GRACE_PERIOD_SECONDS: '30' })
  const client = await rawClient(t, to)
  client.write(request('/'))
  await client.until(/"pod":"app-1"/)
  client.write(request('/slow'))
  const second = await rawClient(t, to)
  second.write(request('/'))
  await second.until(/"pod":"app-1"/)
  example.kill('SIGTERM')
  await client.until(/"slow":true/)
  for (const each of [client, second]) each.halfClose()
  t.match(await example.exited, { code: 0, signal: null })
})

t.test('the probes of the Deployment are answered by the server, readiness with 503 as soon as it drains', async t => {
  const { example, to } = await startExample(t, 'kubernetes/server', { HOST: '127.0.0.1', KUBERNETES_SERVICE_HOST: '10.0.0.1' })
  const statusOf = async (probe: string): Promise<string | undefined> => {
    const client = await rawClient(t, to)
    client.write(request(container[probe].httpGet.path, { headers: { connection: 'close' } }))
    await client.fin()
    client.halfClose()
    return /^HTTP\/1.1 (\d+)/.exec(client.received)?.[1]
  }
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) t.equal(await statusOf(probe), '200', probe)
  example.kill('SIGTERM')
  while (await statusOf('readinessProbe') === '200');
  t.equal(await statusOf('readinessProbe'), '503')
  t.equal(await statusOf('livenessProbe'), '200')
  example.kill('SIGTERM')
  t.match(await example.exited, { signal: null })
})
