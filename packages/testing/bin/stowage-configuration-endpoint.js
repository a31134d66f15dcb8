#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { configurationEndpoint } from '../dist/index.js'

const usage = `The configuration endpoint of an ElastiCache cluster, in front of memcached servers that run already.

  stowage-configuration-endpoint --nodes 127.0.0.1:11211,127.0.0.1:11212

  --nodes    the nodes, host:port or host|ip|port, separated by commas
  --port     where to listen; default 11210
  --host     on which address; default 127.0.0.1
  --version  of the configuration; default 1
  --target   the memcached that ordinary commands go to; default the first node
  --cert     file with the certificate, and
  --key      file with its key, for TLS

A line on its standard input is a new list of nodes.`

const { values, problem } = readArguments()

if (values.help) console.log(usage)
else if (problem === undefined && values.nodes !== undefined) await serve()
else {
  console.error(`${problem ?? '--nodes is missing.'}\n\n${usage}`)
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

async function serve() {
  const { port = '11210', version = '1', host, target, nodes, cert, key } = values
  const tls = cert && key ? { cert: readFileSync(cert), key: readFileSync(key) } : undefined
  const members = list(nodes)
  const numbers = { port: Number(port), version: Number(version) }
  const endpoint = await configurationEndpoint({ ...numbers, nodes: members, host, target, tls })
  const tell = () =>
    console.log(`version ${endpoint.version} on port ${endpoint.port}: ${endpoint.nodes.join(' ')}`)
  tell()
  createInterface({ input: process.stdin }).on('line', (line) => {
    if (line.trim() === '') return
    endpoint.scale(list(line))
    tell()
  })
}

function list(text) {
  return text.split(/[\s,]+/).filter(Boolean)
}
