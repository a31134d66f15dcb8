/** Whether other programs used the machine so much that the figures vary widely. */
export function wasBusy({ load, machine }) {
  return load > machine.cpus / 2
}

/** When and where a result was measured, as a sentence. */
export function machineText({ date, machine, versions }) {
  const { cpu, cpus, memoryGiB, system } = machine
  const servers = ['Node', 'Redis', 'Memcached'].filter((name) => versions[name])
  const programs = servers.map((name) => `${name} ${versions[name]}`).join(', ')
  return `${date}, ${cpus} CPUs (${cpu}), ${memoryGiB} GiB, ${system}, ${programs}.`
}
