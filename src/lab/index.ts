/** The lab, as commands and tests use it. */

export { labExec, labLoadImage, labLogFile } from './access.ts';
export { LabCluster, type Output } from './cluster.ts';
export { labClock, labDisk, labHeal, labKill, labPause, labResume } from './faults.ts';
export type { HostFaults } from './host-faults.ts';
export { labKubeconfig } from './kubeconfig.ts';
export { labDown, labReaddress, labStart, labStop, labUp } from './lifecycle.ts';
export { labCut, labDelay, labIsolate } from './link-faults.ts';
export { controlSocketOf, type Report } from './session.ts';
export { type DockerSetup, labRoot, planOf, readState } from './state.ts';
export { type LabStatus, labStatus } from './status.ts';
export { describeLoss, type LossCount } from './unsynced.ts';
