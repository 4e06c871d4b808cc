import type { Command } from 'commander';
export function addNodeCommands(_program: Command): void {}
