#!/bin/bash
# Boot systemd as PID 1 of throw-away namespaces; nothing of the host is changed but one control
# group for each hierarchy, which the caller removes, and fs.file-max, which systemd raises and the
# caller sets back. Arguments: place, uid.
#   place/venv, place/home, place/units, place/probe.py  ->  place/result
#   place/account, if it is there, is the user's home folder /home/corral
set -e
place=$1 uid=$2
mount --make-rprivate /
umount -l /proc
mount -t proc proc /proc
umount -R /sys/fs/cgroup
mount -t sysfs sysfs /sys -o ro
mount -t tmpfs tmpfs /sys/fs/cgroup -o mode=755
for controller in cpu memory pids devices freezer; do
    mkdir "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
done
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
# systemd 252 does not manage a cpu hierarchy that stands alone: all of ours is given away.
chown "$uid" /sys/fs/cgroup/cpu /sys/fs/cgroup/cpu/cgroup.procs
mount -t tmpfs tmpfs /run -o mode=755
mount -t tmpfs tmpfs /opt -o mode=755
mkdir /opt/corral
mount --bind "$place/venv" /opt/corral
mount -t tmpfs tmpfs /var/lib -o mode=755
mkdir -p /var/lib/systemd /var/lib/corral
mount --bind "$place/home" /var/lib/corral
mount -t tmpfs tmpfs /home -o mode=755
mkdir /home/corral /run/test
[ ! -d "$place/account" ] || mount --bind "$place/account" /home/corral
mount --bind "$place" /run/test
cp /etc/passwd /etc/group /run/
echo "corral:x:$uid:$uid::/home/corral:/usr/sbin/nologin" >>/run/passwd
echo "corral:x:$uid:" >>/run/group
mount --bind /run/passwd /etc/passwd
mount --bind /run/group /etc/group
# unit-root: a user's systemd cannot make it; on a real host the first hardened system service did.
mkdir -p /run/systemd/system /run/systemd/unit-root
cp -r "$place/units/." /run/systemd/system/
# As on a host, and among these namespaces only: credentials are mounted by a child of systemd's.
mount --make-rshared /
ip link set lo up
export container=corral-test
exec /lib/systemd/systemd --system --unit=test.target --log-target=console
