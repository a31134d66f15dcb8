#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { configurationEndpoint } from '../dist/index.js'

const usage = `Starts the configuration endpoint of an ElastiCache cluster in front of running memcached servers.

  stowage-configuration-endpoint --nodes 127.0.0.1:11211,127.0.0.1:11212

  --nodes    nodes as host:port or host|ip|port, separated by commas
  --port     port to listen on; default 11210
  --host     address to listen on; default 127.0.0.1
  --version  version of the configuration; default 1
  --target   node that receives all other commands; default the first node
  --cert     file with the TLS certificate, used together with --key
  --key      file with the private key of the certificate

Each line on standard input is a new list of nodes, which increments the version.`

const { values, problem = findProblem(values) } = readArguments()

if (values.help) console.log(usage)
else if (problem === undefined) await serve().catch(reportFailure)
else {
  console.error(`${problem}\n\n${usage}`)
  process.exitCode = 2
}

function readArguments() {
  const text = { type: 'string' }
  const options = { port: text, host: text, nodes: text, version: text, target: text, cert: text }
  try {
    return parseArgs({ options: { ...options, key: text, help: { type: 'boolean' } } })
  } catch (error) {
    return { values: {}, problem: error.message }
  }
}

function findProblem({ nodes, cert, key, port = '11210' }) {
  if (nodes === undefined) return '--nodes is missing.'
  if (cert !== undefined && key === undefined) return '--key is missing: --cert needs it.'
  if (key !== undefined && cert === undefined) return '--cert is missing: --key needs it.'
  const isPort = /^\d+$/.test(port) && Number(port) < 65_536
  return isPort ? undefined : `--port ${port} is not a port number.`
}

/** A failure of the environment, such as a port in use or an unreadable file, needs no stack trace. */
function reportFailure(error) {
  if (error.code === undefined) throw error
  const { port = '11210' } = values
  const reason =
    error.code === 'EADDRINUSE' ? `port ${port} is in use. Choose another --port` : error.message
  console.error(`stowage-configuration-endpoint failed: ${reason}.`)
  process.exitCode = 1
}

async function serve() {
  const { port = '11210', version = '1', host, target, nodes, cert, key } = values
  const tls = cert && key ? { cert: readFileSync(cert), key: readFileSync(key) } : undefined
  const endpoint = await configurationEndpoint({
    nodes: splitList(nodes),
    version: Number(version),
    port: Number(port),
    host,
    target,
    tls,
  })
  const printState = () =>
    console.log(`version ${endpoint.version} on port ${endpoint.port}: ${endpoint.nodes.join(' ')}`)
  printState()
  createInterface({ input: process.stdin }).on('line', (line) => {
    if (line.trim() === '') return
    endpoint.scale(splitList(line))
    printState()
  })
}

function splitList(text) {
  return text.split(/[\s,]+/).filter(Boolean)
}
