#!/usr/bin/perl
# Which TCP ports of ADDRESS take a connection: all 65535 of them, one to a line. Plain connects, many at a time.
use strict;
use warnings;
use Errno qw(EINPROGRESS);
use IO::Handle;
use Socket;

my ($address) = @ARGV or die "scan.pl ADDRESS\n";
my $at_once = 16384;
for (my $first = 1; $first < 65536; $first += $at_once) {
    my $last = $first + $at_once - 1 < 65535 ? $first + $at_once - 1 : 65535;
    my (%port, $waiting);
    $waiting = '';
    my @sockets;
    for my $port ($first .. $last) {
        socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
        $socket->blocking(0);
        if (connect $socket, pack_sockaddr_in($port, inet_aton($address))) { print "$port\n"; next }
        next unless $! == EINPROGRESS;
        push @sockets, $socket;
        $port{ fileno $socket } = [$socket, $port];
        vec($waiting, fileno $socket, 1) = 1;
    }
    # What is dropped is asked for once more by the kernel, a second later; then nobody answers.
    my $until = time + 3;
    while (%port && (my $left = $until - time) > 0) {
        select undef, my $ready = $waiting, undef, $left or last;
        for my $number (grep { vec $ready, $_, 1 } keys %port) {
            my ($socket, $port) = @{ delete $port{$number} };
            vec($waiting, $number, 1) = 0;
            print "$port\n" unless unpack 'i', getsockopt($socket, SOL_SOCKET, SO_ERROR);
        }
    }
}
